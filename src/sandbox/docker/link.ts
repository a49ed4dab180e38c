/**
 * The line to one supervisor: commands go out, their output and ends come back.
 *
 * Theory of operation. The other end is trusted to report how commands ended, and nothing more: every frame must be the
 * one that may come now, within what this side granted. A frame out of turn, a broken stream or silence ends the line for
 * good: everything that waits is rejected with one AppError `sandbox_failed`, and the owner kills the container. Memory
 * is bounded by what callers granted (head, tail, data) plus one frame and one stdin window for each command.
 */
import type { Duplex, Readable } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { type Deferred, deferred } from "../../kernel/signals.ts";
import type { OutputStream } from "../capture.ts";
import { Demux } from "./demux.ts";
import {
  decodeExit,
  decodeHello,
  type ExitReport,
  encodeFrame,
  encodeRun,
  type Frame,
  FrameReader,
  frameIn,
  frameOut,
  ProtocolError,
  type RunRequest,
  stdinWindowBytes,
} from "./frames.ts";
import { StdinFeed } from "./stdin-feed.ts";

export interface LinkOptions {
  readonly clock: Clock;
  /** between two signs of life, ms */
  readonly heartbeatMs: number;
  /** unanswered signs of life after which the line counts as dead */
  readonly missedMax: number;
}

/** What a command is told while it runs, and what is kept of it. */
export interface CommandSink {
  onOutput(stream: OutputStream, bytes: Buffer): void;
}

export interface CommandEnd {
  readonly report: ExitReport;
  /** the kept last bytes, both streams */
  readonly tail: Buffer;
}

interface Running {
  readonly request: RunRequest;
  readonly sink: CommandSink;
  readonly end: Deferred<CommandEnd>;
  readonly stdin: StdinFeed | undefined;
  readonly tail: Buffer[];
  tailBytes: number;
  /** received live; index 0 stdout, 1 stderr */
  readonly liveBytes: [number, number];
  killAsked: boolean;
}

const STDERR_KEPT_BYTES = 2_048;

export class SupervisorLink {
  /** what the supervisor said first */
  readonly hello: Promise<ReadonlyMap<string, string>>;
  /** settles when the line is dead, with why; never rejects */
  readonly dead: Promise<AppError>;

  readonly #socket: Duplex;
  readonly #options: LinkOptions;
  readonly #hello = deferred<ReadonlyMap<string, string>>();
  readonly #dead = deferred<AppError>();
  readonly #stop = new AbortController();
  readonly #commands = new Map<number, Running>();
  #failure: AppError | undefined;
  #helloSeen = false;
  #nextId = 1;
  #endAll: Deferred<void> | undefined;
  #pingsOpen = 0;
  #stderr = "";

  constructor(socket: Duplex, options: LinkOptions) {
    this.#socket = socket;
    this.#options = options;
    this.hello = this.#hello.promise;
    this.hello.catch(() => {});
    this.dead = this.#dead.promise;
    const frames = new FrameReader();
    const demux = new Demux(
      (bytes) => {
        for (const frame of frames.push(bytes)) this.#onFrame(frame);
      },
      (bytes) => this.#onStderr(bytes),
    );
    socket.on("data", (chunk: Buffer) => this.#guard(() => demux.push(chunk)));
    socket.on("error", (error) => this.fail(`connection to the sandbox broke: ${error.message}`));
    socket.on("close", () => this.fail("the sandbox ended by itself"));
    socket.on("end", () => this.fail("the sandbox ended by itself"));
    void this.#beat();
  }

  /** Starts a command. Resolves when the supervisor reported its end; `kill` makes that soon. */
  run(request: RunRequest, sink: CommandSink, stdin?: Readable | Buffer): { id: number; end: Promise<CommandEnd> } {
    this.throwIfDead();
    const payload = encodeRun(request);
    const id = this.#nextId++;
    const feed = stdin === undefined ? undefined : new StdinFeed(stdin, (type, bytes) => this.#send(type, id, bytes));
    const end = deferred<CommandEnd>();
    end.promise.catch(() => {});
    this.#commands.set(id, {
      request,
      sink,
      end,
      stdin: feed,
      tail: [],
      tailBytes: 0,
      liveBytes: [0, 0],
      killAsked: false,
    });
    this.#send(frameIn.run, id, payload);
    feed?.start(stdinWindowBytes);
    return { id, end: end.promise };
  }

  /** Asks for the end of one command and what it started. */
  kill(id: number): void {
    const running = this.#commands.get(id);
    if (running === undefined) return;
    running.killAsked = true;
    this.#send(frameIn.kill, id);
  }

  /** Ends every process inside. Resolves when none is left. */
  endAll(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#endAll !== undefined) return this.#endAll.promise;
    this.#endAll = deferred();
    this.#endAll.promise.catch(() => {});
    for (const running of this.#commands.values()) running.killAsked = true;
    this.#send(frameIn.endAll, 0);
    return this.#endAll.promise;
  }

  /** @throws AppError `sandbox_failed` where the line has ended */
  throwIfDead(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Whether everything is being ended: the supervisor takes no command then. */
  get isEnding(): Promise<void> | undefined {
    return this.#endAll?.promise;
  }

  /** Tells PID 1 to exit, which takes everything along, and gives the line up. */
  shutdown(why: string): void {
    if (this.#failure === undefined) this.#send(frameIn.shutdown, 0);
    this.fail(why);
  }

  /** Ends the line: all that waits is rejected. Only the first reason counts. */
  fail(why: string): void {
    if (this.#failure !== undefined) return;
    const said = this.#stderr.trim() === "" ? "" : ` (it said: ${this.#stderr.trim()})`;
    this.#failure = new AppError("sandbox_failed", `${why}${said}`);
    this.#stop.abort();
    this.#hello.reject(this.#failure);
    this.#endAll?.reject(this.#failure);
    for (const running of this.#commands.values()) {
      running.stdin?.stop();
      running.end.reject(this.#failure);
    }
    this.#commands.clear();
    this.#dead.resolve(this.#failure);
    // lets a last frame leave; an engine that does not read it gets the connection closed all the same
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 200).unref();
  }

  #send(type: number, id: number, payload?: Buffer): void {
    if (this.#failure === undefined && this.#socket.writable) this.#socket.write(encodeFrame(type, id, payload));
  }

  #guard(work: () => void): void {
    if (this.#failure !== undefined) return;
    try {
      work();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.fail(`the supervisor spoke out of turn: ${error.message}`);
    }
  }

  #onStderr(bytes: Buffer): void {
    const room = STDERR_KEPT_BYTES - this.#stderr.length;
    if (room > 0)
      this.#stderr += bytes
        .subarray(0, room)
        .toString("latin1")
        .replace(/[^ -~\n]/g, "?");
  }

  #onFrame(frame: Frame): void {
    if (this.#failure !== undefined) return;
    const { type, payload } = frame;
    if (this.#helloSeen === (type === frameOut.hello)) {
      throw new ProtocolError(this.#helloSeen ? "a second hello" : `frame ${type} before hello`);
    }
    switch (type) {
      case frameOut.hello:
        this.#helloSeen = true;
        this.#hello.resolve(decodeHello(payload));
        return;
      case frameOut.pong:
        if (this.#pingsOpen === 0) throw new ProtocolError("an answer to no ping");
        this.#pingsOpen = 0;
        return;
      case frameOut.ended:
        if (this.#endAll === undefined || this.#commands.size > 0) throw new ProtocolError("all ended, out of turn");
        this.#endAll.resolve();
        this.#endAll = undefined;
        return;
      default:
        this.#onCommandFrame(frame);
    }
  }

  #onCommandFrame({ type, id, payload }: Frame): void {
    const running = this.#commands.get(id);
    if (running === undefined) throw new ProtocolError(`frame ${type} of command ${id}, which does not run`);
    switch (type) {
      case frameOut.out:
        this.#onOut(running, payload);
        return;
      case frameOut.tail:
        running.tailBytes += payload.length;
        if (running.request.isData || running.tailBytes > running.request.tailBytesMax) {
          throw new ProtocolError(`${running.tailBytes} bytes of tail`);
        }
        running.tail.push(Buffer.from(payload));
        return;
      case frameOut.credit:
        if (payload.length !== 4) throw new ProtocolError("malformed credit");
        if (running.stdin?.grant(payload.readUInt32LE(0)) !== true) throw new ProtocolError("credit for no stdin");
        return;
      case frameOut.exit:
        this.#onExit(id, running, decodeExit(payload));
        return;
      default:
        throw new ProtocolError(`unknown frame ${type}`);
    }
  }

  #onOut(running: Running, payload: Buffer): void {
    const which = payload.length < 2 ? 0 : payload.readUInt8(0);
    if (which !== 1 && which !== 2) throw new ProtocolError("malformed output");
    const { request, liveBytes } = running;
    const bytes = payload.subarray(1);
    liveBytes[which - 1] = (liveBytes[which - 1] ?? 0) + bytes.length;
    const [stdout, stderr] = liveBytes;
    const isOver = request.isData
      ? stdout > request.headBytesMax || stderr > request.tailBytesMax
      : stdout + stderr > request.headBytesMax || running.tailBytes > 0;
    if (isOver) throw new ProtocolError("more output than was asked for");
    running.sink.onOutput(which === 1 ? "stdout" : "stderr", bytes);
  }

  #onExit(id: number, running: Running, report: ExitReport): void {
    const { request, liveBytes } = running;
    const [stdout, stderr] = liveBytes;
    const total = report.stdoutBytes + report.stderrBytes;
    const isComplete = request.isData
      ? stdout === Math.min(report.stdoutBytes, request.headBytesMax) &&
        stderr === Math.min(report.stderrBytes, request.tailBytesMax)
      : stdout + stderr === Math.min(total, request.headBytesMax) &&
        running.tailBytes === Math.min(total - stdout - stderr, request.tailBytesMax);
    if (!isComplete) throw new ProtocolError("an exit whose output is not complete");
    if (report.killed && !running.killAsked) throw new ProtocolError("killed without being asked");
    this.#commands.delete(id);
    running.stdin?.stop();
    running.end.resolve({ report, tail: Buffer.concat(running.tail) });
  }

  async #beat(): Promise<void> {
    const { clock, heartbeatMs, missedMax } = this.#options;
    try {
      await this.hello;
      for (;;) {
        await clock.sleep(heartbeatMs, this.#stop.signal);
        if (this.#pingsOpen >= missedMax) return this.fail(`no sign of life for ${missedMax * heartbeatMs} ms`);
        this.#pingsOpen++;
        this.#send(frameIn.ping, 0);
      }
    } catch {
      // the line ended meanwhile: `dead` says why
    }
  }
}
