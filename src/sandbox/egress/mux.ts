/**
 * The host's half of the relay's protocol (images/sandbox/supervisor/relay.c is the definition): many connections over one
 * stdin and one stdout. What arrives comes from inside a sandbox and is believed in nothing: a frame out of turn, or more
 * bytes than were granted, ends the line. Memory is bounded by `streamsMax` windows in each direction.
 */
import { Duplex, Readable } from "node:stream";

export const muxFrame = { ready: 1, open: 2, data: 3, end: 4, reset: 5, credit: 6 } as const;
export const windowBytes = 128 * 1024;
export const chunkBytesMax = 16 * 1024;
/** connections that the relay keeps at once; more wait inside */
export const streamsMax = 128;
const HEAD_BYTES = 9;

/** One connection of a client inside. */
class MuxStream extends Duplex {
  readonly #say: (type: number, payload?: Buffer) => void;
  readonly #onGone: () => void;
  /** bytes that may be sent before the relay grants more */
  #credit = windowBytes;
  #waiting: { readonly chunk: Buffer; readonly done: (error?: Error) => void } | undefined;
  /** received, not yet granted again */
  #owed = 0;
  #isEnded = false;
  #isFinished = false;

  constructor(say: (type: number, payload?: Buffer) => void, onGone: () => void) {
    super({ allowHalfOpen: true, highWaterMark: 64 * 1024 });
    this.#say = say;
    this.#onGone = onGone;
  }

  /** @returns false where the relay sent more than it may */
  onData(bytes: Buffer): boolean {
    this.#owed += bytes.length;
    if (this.#isEnded || this.#owed > windowBytes) return false;
    if (this.push(Buffer.from(bytes))) this.#grant();
    return true;
  }

  onEnd(): boolean {
    if (this.#isEnded) return false;
    this.#isEnded = true;
    this.push(null);
    this.#goneIfDone();
    return true;
  }

  onCredit(bytes: number): boolean {
    if (this.#credit + bytes > windowBytes) return false;
    this.#credit += bytes;
    this.#pump();
    return true;
  }

  /** The client broke it off, or the line ended. */
  cut(): void {
    this.#isEnded = true;
    this.#isFinished = true;
    this.destroy();
  }

  override _read(): void {
    this.#grant();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#waiting = { chunk, done };
    this.#pump();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#isFinished = true;
    this.#say(muxFrame.end);
    done();
    this.#goneIfDone();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#isEnded || !this.#isFinished) this.#say(muxFrame.reset);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.done(new Error("the connection was closed"));
    this.#onGone();
    done(error);
  }

  #grant(): void {
    if (this.#owed < windowBytes / 4 || this.#isEnded) return;
    const grant = Buffer.alloc(4);
    grant.writeUInt32LE(this.#owed);
    this.#owed = 0;
    this.#say(muxFrame.credit, grant);
  }

  #pump(): void {
    for (let waiting = this.#waiting; waiting !== undefined && this.#credit > 0; waiting = this.#waiting) {
      const bytes = waiting.chunk.subarray(0, Math.min(this.#credit, chunkBytesMax));
      this.#credit -= bytes.length;
      if (bytes.length > 0) this.#say(muxFrame.data, bytes);
      const rest = waiting.chunk.subarray(bytes.length);
      this.#waiting = rest.length === 0 ? undefined : { chunk: rest, done: waiting.done };
      if (rest.length === 0) waiting.done();
    }
  }

  #goneIfDone(): void {
    if (this.#isEnded && this.#isFinished) this.#onGone();
  }
}

export interface MuxHandlers {
  /** the relay listens */
  onReady(): void;
  onConnection(connection: Duplex): void;
  /** the relay broke its protocol: end it */
  onBroken(why: string): void;
}

export class Mux {
  /** bytes for the relay's stdin */
  readonly toRelay: Readable;
  readonly #handlers: MuxHandlers;
  readonly #streams = new Map<number, MuxStream>();
  #pending: Buffer = Buffer.alloc(0);
  #isReady = false;
  #lastId = 0;
  #isClosed = false;

  constructor(handlers: MuxHandlers) {
    this.#handlers = handlers;
    this.toRelay = new Readable({ read: () => {} });
  }

  /** Bytes of the relay's stdout. */
  push(chunk: Buffer): void {
    if (this.#isClosed) return;
    const why = this.#take(this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]));
    if (why === undefined) return;
    this.close();
    this.#handlers.onBroken(why);
  }

  /** Ends every connection. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.toRelay.push(null);
    for (const stream of [...this.#streams.values()]) stream.cut();
    this.#streams.clear();
  }

  #take(bytes: Buffer): string | undefined {
    let at = 0;
    while (bytes.length - at >= HEAD_BYTES) {
      const length = bytes.readUInt32LE(at);
      if (length > chunkBytesMax) return `a frame of ${length} bytes`;
      const end = at + HEAD_BYTES + length;
      if (end > bytes.length) break;
      const why = this.#onFrame(
        bytes.readUInt8(at + 4),
        bytes.readUInt32LE(at + 5),
        bytes.subarray(at + HEAD_BYTES, end),
      );
      if (why !== undefined) return why;
      at = end;
    }
    // a copy: a view would keep the whole chunk alive
    this.#pending = Buffer.from(bytes.subarray(at));
    return undefined;
  }

  /** @returns what is wrong with the frame */
  #onFrame(type: number, id: number, payload: Buffer): string | undefined {
    if (this.#isReady === (type === muxFrame.ready)) return `frame ${type} out of turn`;
    if (type === muxFrame.ready) {
      this.#isReady = true;
      this.#handlers.onReady();
      return undefined;
    }
    if (type === muxFrame.open) return this.#onOpen(id);
    const stream = this.#streams.get(id);
    // one that this side has closed: such frames were on their way
    if (stream === undefined) return id > this.#lastId || id === 0 ? `frame ${type} of no stream` : undefined;
    switch (type) {
      case muxFrame.data:
        return payload.length > 0 && stream.onData(payload) ? undefined : "more data than was granted";
      case muxFrame.end:
        return stream.onEnd() ? undefined : "a second end";
      case muxFrame.reset:
        stream.cut();
        return undefined;
      case muxFrame.credit:
        return payload.length === 4 && stream.onCredit(payload.readUInt32LE(0)) ? undefined : "malformed credit";
      default:
        return `unknown frame ${type}`;
    }
  }

  #onOpen(id: number): string | undefined {
    if (id <= this.#lastId) return `stream ${id} again`;
    if (this.#streams.size >= 2 * streamsMax) return "too many streams";
    this.#lastId = id;
    const stream = new MuxStream(
      (type, payload) => this.#say(type, id, payload),
      () => void this.#streams.delete(id),
    );
    stream.on("error", () => {});
    this.#streams.set(id, stream);
    this.#handlers.onConnection(stream);
    return undefined;
  }

  #say(type: number, id: number, payload: Buffer = Buffer.alloc(0)): void {
    if (this.#isClosed) return;
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32LE(payload.length, 0);
    head.writeUInt8(type, 4);
    head.writeUInt32LE(id, 5);
    this.toRelay.push(payload.length === 0 ? head : Buffer.concat([head, payload]));
  }
}
