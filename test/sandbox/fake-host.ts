/**
 * The sandbox port in memory, for the unit tests of other rooms: commands are answered by a script, engine faults are
 * thrown on demand, and everything that was asked is recorded. It keeps the port's promises (test/sandbox/contract.ts runs
 * on it): output is capped and marked, timeouts, aborts and closing end a command, users and profiles are checked.
 */
import { randomUUID } from "node:crypto";
import type { Readable } from "node:stream";
import { type Clock, systemClock } from "../../src/kernel/clock.ts";
import { AppError } from "../../src/kernel/errors.ts";
import type { Outcome } from "../../src/kernel/outcome.ts";
import { type Deferred, deferred } from "../../src/kernel/signals.ts";
import { joinCapture, splitCap } from "../../src/sandbox/capture.ts";
import type {
  Command,
  CommandResult,
  DataResult,
  EngineInfo,
  FoundSandbox,
  KeptImage,
  RunOptions,
  Sandbox,
  SandboxHost,
  SandboxSpec,
} from "../../src/sandbox/port.ts";

/** What a scripted command does. Nothing given: it exits with 0 and prints nothing. */
export interface FakeBehaviour {
  readonly stdout?: string | Buffer;
  readonly stderr?: string | Buffer;
  /** default: exited with `exitCode` */
  readonly outcome?: Outcome;
  readonly exitCode?: number;
  /** never ends by itself */
  readonly hangs?: boolean;
  /** prints what it got on stdin */
  readonly echoesStdin?: boolean;
  readonly oomKills?: number;
  /** the engine fails instead */
  readonly error?: AppError;
}

export interface FakeCall {
  readonly sandbox: FakeSandbox;
  readonly command: Command;
  /** everything that was fed to stdin; undefined: none was given */
  readonly stdin: Buffer | undefined;
}

export type FakeScript = (call: FakeCall) => FakeBehaviour | Promise<FakeBehaviour>;

export interface FakeHostOptions {
  readonly script?: FakeScript;
  readonly clock?: Clock;
  /** images that are there; default: any */
  readonly images?: readonly string[];
}

const doneNothing: FakeScript = () => ({});

export class FakeHost implements SandboxHost {
  script: FakeScript;
  /** thrown by the next `open`, once */
  nextOpenError: AppError | undefined;
  /** thrown by every `ping` while it is set */
  pingError: AppError | undefined;
  readonly opened: FakeSandbox[] = [];
  readonly calls: FakeCall[] = [];
  readonly images = new Map<string, KeptImage & { readonly labels: Readonly<Record<string, string>> }>();
  readonly volumes = new Map<string, Readonly<Record<string, string>>>();
  readonly clock: Clock;
  readonly #knownImages: ReadonlySet<string> | undefined;

  constructor(options: FakeHostOptions = {}) {
    this.script = options.script ?? doneNothing;
    this.clock = options.clock ?? systemClock;
    this.#knownImages = options.images === undefined ? undefined : new Set(options.images);
  }

  /** Sandboxes that nobody closed: a test's last line expects none. */
  get stillOpen(): readonly FakeSandbox[] {
    return this.opened.filter((sandbox) => !sandbox.isClosed);
  }

  async open(spec: SandboxSpec, signal?: AbortSignal): Promise<FakeSandbox> {
    signal?.throwIfAborted();
    const error = this.nextOpenError;
    this.nextOpenError = undefined;
    if (error !== undefined) throw error;
    if (spec.profile === "strict" && spec.network !== "none") {
      throw new AppError("internal", `network ${spec.network} does not exist in the strict profile`);
    }
    const isKnown = this.#knownImages?.has(spec.image) ?? true;
    if (!isKnown && !this.images.has(spec.image)) throw new AppError("image_missing", `image ${spec.image} is missing`);
    const sandbox = new FakeSandbox(this, spec);
    this.opened.push(sandbox);
    return sandbox;
  }

  async commit(sandbox: Sandbox, reference: string, labels: Readonly<Record<string, string>>): Promise<KeptImage> {
    if (sandbox.spec.profile !== "build") throw new AppError("internal", "a strict sandbox is never kept as an image");
    await sandbox.endAll();
    const kept = { id: `sha256:${randomUUID().replaceAll("-", "").repeat(2)}`, sizeBytes: 1_000, labels };
    this.images.set(reference, kept);
    this.images.set(kept.id, kept);
    return { id: kept.id, sizeBytes: kept.sizeBytes };
  }

  async findImage(reference: string): Promise<KeptImage | undefined> {
    const kept = this.images.get(reference);
    if (kept !== undefined) return { id: kept.id, sizeBytes: kept.sizeBytes };
    return this.#knownImages?.has(reference) ? { id: `sha256:${"0".repeat(64)}`, sizeBytes: 1_000 } : undefined;
  }

  async removeImage(reference: string): Promise<void> {
    const kept = this.images.get(reference);
    for (const [name, image] of this.images) if (image === kept) this.images.delete(name);
  }

  async ensureVolume(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
    if (!this.volumes.has(name)) this.volumes.set(name, labels);
  }

  async hasVolume(name: string): Promise<boolean> {
    return this.volumes.has(name);
  }

  async removeVolume(name: string): Promise<void> {
    this.volumes.delete(name);
  }

  async listVolumes(labels: Readonly<Record<string, string>>): Promise<readonly string[]> {
    const wanted = Object.entries(labels);
    return [...this.volumes]
      .filter(([, own]) => wanted.every(([key, value]) => own[key] === value))
      .map(([name]) => name);
  }

  async list(instance: string): Promise<readonly FoundSandbox[]> {
    return this.stillOpen
      .filter((sandbox) => sandbox.spec.labels.instance === instance)
      .map(({ id, spec, createdAtMs }) => ({ id, labels: spec.labels, createdAtMs, running: true }));
  }

  async remove(id: string): Promise<void> {
    await this.opened.find((sandbox) => sandbox.id === id)?.close();
  }

  async ping(signal?: AbortSignal): Promise<EngineInfo> {
    signal?.throwIfAborted();
    if (this.pingError !== undefined) throw this.pingError;
    return { version: "fake", storageDriver: "memory", cgroupVersion: "2", runtimes: ["fake"] };
  }
}

export class FakeSandbox implements Sandbox {
  readonly id = randomUUID();
  readonly runtime = "fake";
  readonly spec: SandboxSpec;
  readonly createdAtMs: number;
  isClosed = false;
  endAllCount = 0;
  readonly #host: FakeHost;
  readonly #running = new Set<Deferred<"ended" | "closed">>();

  constructor(host: FakeHost, spec: SandboxSpec) {
    this.#host = host;
    this.spec = spec;
    this.createdAtMs = host.clock.now();
  }

  async run(command: Command, options: RunOptions = {}): Promise<CommandResult> {
    const startedMs = this.#host.clock.monotonicMs();
    const { behaviour, outcome, stdout, stderr } = await this.#perform(command, options);
    const { headBytesMax, tailBytesMax } = splitCap(command.outputBytesMax);
    const all = Buffer.concat([stdout, stderr]);
    const head = all.subarray(0, headBytesMax);
    const tail = all.subarray(Math.max(headBytesMax, all.length - tailBytesMax));
    const shown = stdout.subarray(0, headBytesMax).toString("utf8");
    if (shown !== "") options.onOutput?.("stdout", shown);
    const errors = stderr.subarray(0, Math.max(0, headBytesMax - stdout.length)).toString("utf8");
    if (errors !== "") options.onOutput?.("stderr", errors);
    return {
      outcome: all.length > command.floodBytesMax ? { kind: "flooded", limitBytes: command.floodBytesMax } : outcome,
      output: joinCapture(head, tail, all.length, command.outputBytesMax),
      durationMs: this.#host.clock.monotonicMs() - startedMs,
      usage: { cpuMs: 1, memoryPeakBytes: 1_000_000 },
      oomKills: behaviour.oomKills ?? 0,
    };
  }

  async runForData(command: Command, options: RunOptions = {}): Promise<DataResult> {
    const { outcome, stdout, stderr } = await this.#perform(command, options);
    return {
      outcome,
      stdout: stdout.subarray(0, command.outputBytesMax),
      truncated: stdout.length > command.outputBytesMax,
      stderr: joinCapture(stderr, Buffer.alloc(0), stderr.length, stderr.length),
    };
  }

  async endAll(): Promise<void> {
    this.#failIfClosed();
    this.endAllCount += 1;
    for (const end of this.#running) end.resolve("ended");
  }

  async close(): Promise<void> {
    this.isClosed = true;
    for (const end of this.#running) end.resolve("closed");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #failIfClosed(): void {
    if (this.isClosed) throw new AppError("sandbox_failed", "the sandbox was closed while it was in use");
  }

  async #perform(command: Command, options: RunOptions) {
    options.signal?.throwIfAborted();
    this.#failIfClosed();
    if (command.user === "root" && this.spec.profile === "strict") {
      throw new AppError("internal", "user root does not exist in the strict profile");
    }
    const stdin = await readAll(options.stdin);
    const call: FakeCall = { sandbox: this, command, stdin };
    this.#host.calls.push(call);
    const behaviour = await this.#host.script(call);
    if (behaviour.error !== undefined) throw behaviour.error;
    const outcome = behaviour.hangs
      ? await this.#hang(command, options.signal)
      : (behaviour.outcome ?? { kind: "exited" as const, exitCode: behaviour.exitCode ?? 0 });
    options.signal?.throwIfAborted();
    this.#failIfClosed();
    const stdout = behaviour.echoesStdin ? (stdin ?? Buffer.alloc(0)) : bytesOf(behaviour.stdout);
    return { behaviour, outcome, stdout, stderr: bytesOf(behaviour.stderr) };
  }

  async #hang(command: Command, signal: AbortSignal | undefined): Promise<Outcome> {
    signal?.throwIfAborted();
    const end = deferred<"ended" | "closed">();
    this.#running.add(end);
    const over = new AbortController();
    const onAbort = () => over.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const late = this.#host.clock.sleep(command.timeoutMs, over.signal).then(
      () => "late" as const,
      () => "aborted" as const,
    );
    const how = await Promise.race([late, end.promise]);
    over.abort();
    signal?.removeEventListener("abort", onAbort);
    this.#running.delete(end);
    return how === "late" ? { kind: "timedOut", limitMs: command.timeoutMs } : { kind: "signaled", signal: "SIGKILL" };
  }
}

function bytesOf(text: string | Buffer | undefined): Buffer {
  return typeof text === "string" ? Buffer.from(text) : (text ?? Buffer.alloc(0));
}

async function readAll(stdin: Readable | Buffer | undefined): Promise<Buffer | undefined> {
  if (stdin === undefined || Buffer.isBuffer(stdin)) return stdin;
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
