/**
 * The host's half of the supervisor's protocol: bytes to values and back. images/sandbox/supervisor/supervisor.h is the
 * definition. What arrives here comes from a container: every length is bounded before anything is kept.
 */

export const protocolVersion = 1;

/** Frames to the supervisor. */
export const frameIn = { run: 1, stdin: 2, stdinEnd: 3, kill: 4, endAll: 5, ping: 6, shutdown: 7 } as const;
/** Frames from the supervisor. */
export const frameOut = { hello: 65, out: 66, tail: 67, exit: 68, credit: 69, ended: 70, pong: 71 } as const;

export const frameBytesMax = { in: 1024 * 1024, out: 32 * 1024 } as const;
/** bytes of stdin that may be in flight for a command before the supervisor grants more */
export const stdinWindowBytes = 256 * 1024;
/** largest tail that the supervisor keeps */
export const tailBytesMax = 64 * 1024 ** 2;
const HEAD_BYTES = 9;

export interface Frame {
  readonly type: number;
  readonly id: number;
  readonly payload: Buffer;
}

export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** One frame as bytes. */
export function encodeFrame(type: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32LE(payload.length, 0);
  head.writeUInt8(type, 4);
  head.writeUInt32LE(id, 5);
  return Buffer.concat([head, payload]);
}

/** Cuts a byte stream into frames; keeps at most one incomplete frame. */
export class FrameReader {
  #pending: Buffer = Buffer.alloc(0);

  /** @returns the frames that are complete now, in order
   *  @throws ProtocolError for a frame longer than the protocol allows */
  push(chunk: Buffer): Frame[] {
    const bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const frames: Frame[] = [];
    let at = 0;
    while (bytes.length - at >= HEAD_BYTES) {
      const length = bytes.readUInt32LE(at);
      if (length > frameBytesMax.out) {
        throw new ProtocolError(`frame of ${length} bytes, more than ${frameBytesMax.out}`);
      }
      const end = at + HEAD_BYTES + length;
      if (end > bytes.length) break;
      frames.push({
        type: bytes.readUInt8(at + 4),
        id: bytes.readUInt32LE(at + 5),
        payload: bytes.subarray(at + HEAD_BYTES, end),
      });
      at = end;
    }
    // a copy: a view would keep the whole chunk alive
    this.#pending = Buffer.from(bytes.subarray(at));
    return frames;
  }
}

export interface RunRequest {
  readonly uid: number;
  readonly gid: number;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly hasStdin: boolean;
  /** stdout is data: passed on up to headBytesMax, and stderr up to tailBytesMax */
  readonly isData: boolean;
  readonly headBytesMax: number;
  readonly tailBytesMax: number;
  readonly floodBytesMax: number;
  readonly fileBytesMax: number;
  readonly openFilesMax: number;
}

/** Payload of a RUN frame. @throws ProtocolError where it does not fit, or a text holds NUL */
export function encodeRun(request: RunRequest): Buffer {
  const env = Object.entries(request.env).map(([name, value]) => `${name}=${value}`);
  const texts = [request.cwd, ...request.argv, ...env];
  if (texts.some((text) => text.includes("\0"))) throw new ProtocolError("an argument or variable holds NUL");
  if (request.argv.length === 0 || request.argv.length + env.length > 4096) {
    throw new ProtocolError(`${request.argv.length} arguments and ${env.length} variables; 1 to 4096 are possible`);
  }
  const head = Buffer.alloc(49);
  let at = head.writeUInt32LE(request.uid, 0);
  at = head.writeUInt32LE(request.gid, at);
  at = head.writeUInt8((request.hasStdin ? 1 : 0) | (request.isData ? 2 : 0), at);
  for (const value of [request.headBytesMax, request.tailBytesMax, request.floodBytesMax, request.fileBytesMax]) {
    at = head.writeBigUInt64LE(BigInt(value), at);
  }
  at = head.writeUInt32LE(request.openFilesMax, at);
  at = head.writeUInt16LE(request.argv.length, at);
  head.writeUInt16LE(env.length, at);
  const payload = Buffer.concat([head, ...texts.map((text) => Buffer.from(`${text}\0`))]);
  if (payload.length > frameBytesMax.in) {
    throw new ProtocolError(`arguments and environment are ${payload.length} bytes, more than ${frameBytesMax.in}`);
  }
  return payload;
}

/** Steps of starting a command, as the supervisor numbers them. */
export const stages = ["none", "pipes", "fork", "setup", "identity", "chdir", "exec"] as const;
export type Stage = (typeof stages)[number];

/** How the supervisor says that a command ended. */
export interface ExitReport {
  readonly flooded: boolean;
  /** by a KILL or END_ALL of the host */
  readonly killed: boolean;
  readonly notStarted: { readonly stage: Stage; readonly errno: number } | undefined;
  readonly exitCode: number;
  /** 0: it exited */
  readonly signal: number;
  readonly stdoutBytes: number;
  readonly stderrBytes: number;
  readonly cpuUs: number;
  readonly memoryPeakBytes: number;
  readonly oomKills: number;
}

const EXIT_BYTES = 54;

/** @throws ProtocolError where the payload is not an exit report, or says what can't be */
export function decodeExit(payload: Buffer): ExitReport {
  if (payload.length !== EXIT_BYTES) throw new ProtocolError(`exit report of ${payload.length} bytes`);
  const flags = payload.readUInt8(0);
  const stage = stages[payload.readUInt8(1)];
  const code = payload.readInt32LE(2);
  const signal = payload.readUInt32LE(6);
  const notStarted = (flags & 4) !== 0;
  if (flags > 7 || stage === undefined || notStarted !== (stage !== "none")) {
    throw new ProtocolError(`exit report with flags ${flags}, stage ${payload.readUInt8(1)}`);
  }
  if (signal > 64 || (!notStarted && signal === 0 && (code < 0 || code > 255))) {
    throw new ProtocolError(`exit report with code ${code}, signal ${signal}`);
  }
  return {
    flooded: (flags & 1) !== 0,
    killed: (flags & 2) !== 0,
    notStarted: notStarted ? { stage, errno: code } : undefined,
    exitCode: code,
    signal,
    stdoutBytes: Number(payload.readBigUInt64LE(10)),
    stderrBytes: Number(payload.readBigUInt64LE(18)),
    cpuUs: Number(payload.readBigUInt64LE(26)),
    memoryPeakBytes: Number(payload.readBigUInt64LE(34)),
    oomKills: payload.readUInt32LE(50),
  };
}

/** @throws ProtocolError where a line is not `name=value` */
export function decodeHello(payload: Buffer): ReadonlyMap<string, string> {
  const facts = new Map<string, string>();
  for (const line of payload.toString("latin1").split("\n")) {
    if (line === "") continue;
    const at = line.indexOf("=");
    if (at <= 0) throw new ProtocolError("hello that is not name=value");
    facts.set(line.slice(0, at), line.slice(at + 1));
  }
  if (facts.get("version") !== `${protocolVersion}`) {
    throw new ProtocolError(`supervisor speaks version ${facts.get("version")}, this server ${protocolVersion}`);
  }
  return facts;
}
