/**
 * One started container and the line to its supervisor.
 *
 * A command ends in one of three ways: the supervisor reports it; the host's own limit passed, then it is told to kill and
 * has `killGraceMs` to report, else the container is killed; or the line died, then the engine says whether memory was
 * the reason. Only the first can be a success.
 */
import type { Readable } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { CapturedText } from "../../kernel/outcome.ts";
import { deferred } from "../../kernel/signals.ts";
import { joinCapture, LiveText, splitCap } from "../capture.ts";
import type { Command, CommandResult, DataResult, RunOptions, Sandbox, SandboxSpec } from "../port.ts";
import type { Profile } from "../profiles.ts";
import { users } from "./container-spec.ts";
import { type ExitReport, ProtocolError, type RunRequest, tailBytesMax } from "./frames.ts";
import type { CommandSink, SupervisorLink } from "./link.ts";
import { type HostAction, notStartedText, outcomeOf, outcomeOfAction } from "./outcome.ts";
import { proxyEnvironment, type WayOut } from "./way-out.ts";

/** Time between a kill and the supervisor's report of the end, ms; then the whole container goes. */
const killGraceMs = 900;
/** stderr kept of a command whose stdout is data */
const dataStderrBytesMax = 64 * 1024;

/** What a sandbox needs of the engine; every promise here has a deadline of its own. */
export interface ContainerControl {
  /** Kills the container from outside. Never rejects. */
  kill(): Promise<void>;
  /** Whether the kernel killed for memory in it, as the engine saw. Never rejects: unknown is false. */
  wasOutOfMemory(): Promise<boolean>;
  /** Removes it, with retries. Never rejects. */
  remove(): Promise<void>;
}

export interface DockerSandboxParts {
  readonly id: string;
  readonly spec: SandboxSpec;
  readonly profile: Profile;
  readonly runtime: string;
  readonly link: SupervisorLink;
  readonly control: ContainerControl;
  readonly clock: Clock;
  /** of a sandbox with an allow-list */
  readonly wayOut: WayOut | undefined;
}

interface Ended {
  readonly outcome: CommandResult["outcome"];
  /** absent where the container had to go together with the command */
  readonly report: ExitReport | undefined;
  readonly tail: Buffer;
  readonly durationMs: number;
}

export class DockerSandbox implements Sandbox {
  readonly id: string;
  readonly spec: SandboxSpec;
  readonly runtime: string;
  readonly #parts: DockerSandboxParts;
  readonly #diskFull = deferred();
  #isDiskFull = false;
  #closing: Promise<void> | undefined;

  constructor(parts: DockerSandboxParts) {
    this.id = parts.id;
    this.spec = parts.spec;
    this.runtime = parts.runtime;
    this.#parts = parts;
  }

  async run(command: Command, options: RunOptions = {}): Promise<CommandResult> {
    const cap = splitCap(command.outputBytesMax);
    const head: Buffer[] = [];
    const live = new LiveText(options.onOutput);
    const ended = await this.#execute(command, { ...cap, isData: false }, options, {
      onOutput: (stream, bytes) => {
        head.push(Buffer.from(bytes));
        live.push(stream, bytes);
      },
    });
    live.end();
    const { report, tail, outcome, durationMs } = ended;
    const headBytes = Buffer.concat(head);
    const total = report === undefined ? headBytes.length : report.stdoutBytes + report.stderrBytes;
    const output = joinCapture(headBytes, tail, total, command.outputBytesMax);
    return {
      outcome,
      output: report === undefined ? output : withPrefix(notStartedText(report, command), output),
      durationMs,
      usage: { cpuMs: (report?.cpuUs ?? 0) / 1000, memoryPeakBytes: report?.memoryPeakBytes ?? 0 },
      oomKills: report?.oomKills ?? 0,
    };
  }

  async runForData(command: Command, options: RunOptions = {}): Promise<DataResult> {
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const caps = { headBytesMax: command.outputBytesMax, tailBytesMax: dataStderrBytesMax, isData: true };
    const live = new LiveText(options.onOutput);
    const { outcome, report } = await this.#execute(command, caps, options, {
      onOutput: (stream, bytes) => {
        (stream === "stdout" ? stdout : stderr).push(Buffer.from(bytes));
        if (stream === "stderr") live.push(stream, bytes);
      },
    });
    live.end();
    const data = Buffer.concat(stdout);
    const errors = Buffer.concat(stderr);
    const said = joinCapture(errors, Buffer.alloc(0), report?.stderrBytes ?? errors.length, dataStderrBytesMax);
    return {
      outcome,
      stdout: data,
      truncated: (report?.stdoutBytes ?? data.length) > data.length,
      stderr: report === undefined ? said : withPrefix(notStartedText(report, command), said),
    };
  }

  async endAll(): Promise<void> {
    const { link, clock, control } = this.#parts;
    const ended = new AbortController();
    const late = clock.sleep(10_000, ended.signal).then(
      () => link.fail("processes inside did not end within 10000 ms of being killed"),
      () => {},
    );
    try {
      await link.endAll();
    } catch (error) {
      await control.kill();
      throw error;
    } finally {
      ended.abort();
      await late;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Told by the disk watcher: the writable layer is larger than the spec allows. */
  diskIsFull(): void {
    this.#isDiskFull = true;
    this.#diskFull.resolve();
  }

  async #close(): Promise<void> {
    this.#parts.link.shutdown("the sandbox was closed while it was in use");
    await this.#parts.control.remove();
  }

  async #execute(
    command: Command,
    caps: Pick<RunRequest, "headBytesMax" | "tailBytesMax" | "isData">,
    options: RunOptions,
    sink: CommandSink,
  ): Promise<Ended> {
    const { link, clock, wayOut } = this.#parts;
    do {
      while (link.isEnding !== undefined) await link.isEnding;
      await wayOut?.ready();
    } while (link.isEnding !== undefined);
    // after the last wait before the listener stands: a signal that aborted earlier fires no event any more
    options.signal?.throwIfAborted();
    const request = this.#request(command, caps, options.stdin !== undefined);
    const startedMs = clock.monotonicMs();
    const { id, end } = start(link, request, sink, options.stdin);

    let action: HostAction;
    const over = new AbortController();
    const stop = async (why: HostAction) => {
      action ??= why;
      this.#kill(id);
      await clock.sleep(killGraceMs, over.signal);
      await this.#parts.control.kill();
      link.fail(`a command did not end within ${killGraceMs} ms of being killed`);
    };
    const watch = (wait: Promise<unknown>, why: HostAction) => void wait.then(() => stop(why)).catch(() => {});
    watch(clock.sleep(command.timeoutMs, over.signal), "timeout");
    watch(this.#diskFull.promise, "disk");
    const onAbort = () => void stop(undefined).catch(() => {});
    options.signal?.addEventListener("abort", onAbort, { once: true });

    try {
      const { report, tail } = await end;
      // a flood is ended by the supervisor, which leaves alone what runs beside a relay
      if (report.flooded && wayOut !== undefined) await link.endAll();
      options.signal?.throwIfAborted();
      const durationMs = clock.monotonicMs() - startedMs;
      return { outcome: outcomeOf(report, action, command, this.spec), report, tail, durationMs };
    } catch (error) {
      options.signal?.throwIfAborted();
      if (action === undefined && !(await this.#diedOfMemory())) throw error;
      const durationMs = clock.monotonicMs() - startedMs;
      const outcome: Ended["outcome"] =
        action === undefined
          ? { kind: "outOfMemory", limitBytes: this.spec.resources.memoryBytes }
          : outcomeOfAction(action, command, this.spec);
      return { outcome, report: undefined, tail: Buffer.alloc(0), durationMs };
    } finally {
      over.abort();
      options.signal?.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Ends a command and what it started. The supervisor takes everything inside for the command's only where it runs alone;
   * beside the relay all is ended, and the relay comes again.
   */
  #kill(id: number): void {
    if (this.#parts.wayOut === undefined) this.#parts.link.kill(id);
    else this.#parts.link.endAll().catch(() => {});
  }

  /** A line that died while nobody closed it: the kernel may have taken PID 1 itself. */
  async #diedOfMemory(): Promise<boolean> {
    return this.#closing === undefined && !this.#isDiskFull && (await this.#parts.control.wasOutOfMemory());
  }

  #request(
    command: Command,
    caps: Pick<RunRequest, "headBytesMax" | "tailBytesMax" | "isData">,
    hasStdin: boolean,
  ): RunRequest {
    const { profile } = this.#parts;
    if (!profile.users.includes(command.user)) {
      throw new AppError("internal", `user ${command.user} does not exist in the ${profile.name} profile`);
    }
    const uid = users[command.user];
    return {
      ...caps,
      tailBytesMax: Math.min(caps.tailBytesMax, tailBytesMax),
      uid,
      gid: uid,
      argv: command.argv,
      env: this.#parts.wayOut === undefined ? command.env : { ...proxyEnvironment, ...command.env },
      cwd: command.cwd,
      hasStdin,
      floodBytesMax: command.floodBytesMax,
      // one byte more than fits: a full workspace is an error that a program can live with, not a signal
      fileBytesMax: command.fileBytesMax ?? this.spec.resources.diskBytes + 1,
      openFilesMax: this.spec.resources.openFilesMax ?? profile.ulimits.nofile,
    };
  }
}

/** A command that can't even be said is the caller's mistake, not the sandbox's. */
function start(link: SupervisorLink, request: RunRequest, sink: CommandSink, stdin: Readable | Buffer | undefined) {
  try {
    return link.run(request, sink, stdin);
  } catch (error) {
    if (error instanceof ProtocolError) throw new AppError("internal", `command ${request.argv[0]}: ${error.message}`);
    throw error;
  }
}

function withPrefix(prefix: string, output: CapturedText): CapturedText {
  if (prefix === "") return output;
  return { ...output, text: prefix + output.text, totalBytes: output.totalBytes + Buffer.byteLength(prefix) };
}
