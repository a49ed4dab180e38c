/** The supervisor's side of the protocol, for tests of the host: says what a test tells it to say. */
import { Duplex } from "node:stream";
import { deferred } from "../../../src/kernel/signals.ts";
import { encodeFrame, frameOut } from "../../../src/sandbox/docker/frames.ts";

export interface HeardFrame {
  readonly type: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** A socket whose far end is the test. */
export class ScriptedSupervisor extends Duplex {
  readonly heard: HeardFrame[] = [];
  #waiting: { readonly type: number; readonly resolve: (frame: HeardFrame) => void }[] = [];
  #bytes = Buffer.alloc(0);

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= 9 && this.#bytes.length >= 9 + this.#bytes.readUInt32LE(0)) {
      const end = 9 + this.#bytes.readUInt32LE(0);
      const frame = {
        type: this.#bytes[4] ?? 0,
        id: this.#bytes.readUInt32LE(5),
        payload: this.#bytes.subarray(9, end),
      };
      this.#bytes = this.#bytes.subarray(end);
      this.heard.push(frame);
      const next = this.#waiting.findIndex(({ type }) => type === frame.type);
      if (next >= 0) this.#waiting.splice(next, 1)[0]?.resolve(frame);
    }
    done();
  }

  /** The next frame of that type from the host. */
  next(type: number): Promise<HeardFrame> {
    const got = deferred<HeardFrame>();
    this.#waiting.push({ type, resolve: (frame) => got.resolve(frame) });
    return got.promise;
  }

  /** Bytes on the container's stdout (1) or stderr (2), as the engine multiplexes them. */
  raw(bytes: Buffer, stream = 1): void {
    const head = Buffer.alloc(8);
    head.writeUInt8(stream, 0);
    head.writeUInt32BE(bytes.length, 4);
    this.push(Buffer.concat([head, bytes]));
  }

  say(type: number, id = 0, payload: Buffer = Buffer.alloc(0)): void {
    this.raw(encodeFrame(type, id, payload));
  }

  hello(text = "version=1\n"): void {
    this.say(frameOut.hello, 0, Buffer.from(text));
  }

  out(id: number, text: string, stream = 1): void {
    this.say(frameOut.out, id, Buffer.concat([Buffer.of(stream), Buffer.from(text)]));
  }

  exit(id: number, report: Partial<ExitFields> = {}): void {
    this.say(frameOut.exit, id, exitBody(report));
  }
}

export interface ExitFields {
  readonly flags: number;
  readonly stage: number;
  readonly code: number;
  readonly signal: number;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  readonly oomKills: number;
}

/** An exit report as the supervisor writes it; nothing given: exited with 0, nothing printed. */
export function exitBody(fields: Partial<ExitFields> = {}): Buffer {
  const body = Buffer.alloc(54);
  body.writeUInt8(fields.flags ?? 0, 0);
  body.writeUInt8(fields.stage ?? 0, 1);
  body.writeInt32LE(fields.code ?? 0, 2);
  body.writeUInt32LE(fields.signal ?? 0, 6);
  body.writeBigUInt64LE(BigInt(fields.stdoutBytes ?? 0), 10);
  body.writeBigUInt64LE(BigInt(fields.stderrBytes ?? 0), 18);
  body.writeUInt32LE(fields.oomKills ?? 0, 50);
  return body;
}
