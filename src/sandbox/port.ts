/**
 * The sandbox port: WHERE untrusted code runs. Everything above this room knows only these words.
 *
 * Life: `open` gives a started sandbox whose supervisor answered; `run` executes commands one at a time or together;
 * disposing ends every process and removes the container whatever happened before. A sandbox is used for one attempt.
 * Promises: nothing a command does can make `run` report success that did not happen; a command that ignores signals,
 * double-forks and keeps stdout open is gone within 1 s after its time is up; output never grows the server's memory
 * beyond the caps given. Errors: what the command did is an Outcome; what the engine failed to do is an AppError
 * (`sandbox_unavailable`, `sandbox_failed`, `image_missing`), retryable unless the catalogue says otherwise.
 * Every command but root's in `build` runs with no capability at all (effective and bounding sets empty) and
 * no-new-privileges; it can neither signal nor read the supervisor that reports its end.
 */
import type { Readable } from "node:stream";
import type { CapturedText, Outcome, Phase } from "../kernel/outcome.ts";
import type { EgressPolicy } from "./egress/policy.ts";

/** Who a command runs as; a different unprivileged uid per role. `root` only exists in the `build` profile. */
export type SandboxUser = "root" | "agent" | "tests";

/** Label values of everything we make: `proctor.instance`, `proctor.batch`, … A sandbox not of a task has `-`. */
export interface SandboxLabels {
  readonly instance: string;
  readonly batch: string;
  readonly task: string;
  readonly attempt: number;
  /** what it was made for; task sandboxes serve `agent` and then `tests` */
  readonly phase: Phase | "prepare";
}

export interface SandboxResources {
  /** memory limit, bytes; no swap beside it; tmpfs counts */
  readonly memoryBytes: number;
  /** processor share, cores; may be fractional */
  readonly cpus: number;
  readonly pidsMax: number;
  /** size of the workspace /repo, bytes */
  readonly diskBytes: number;
  /** descriptors of one process; absent: the profile's */
  readonly openFilesMax?: number;
}

export interface Mount {
  readonly kind: "volume" | "hostPath";
  /** volume name, or absolute path as the engine sees it */
  readonly source: string;
  /** absolute path inside */
  readonly target: string;
  readonly readOnly: boolean;
}

export interface SandboxSpec {
  readonly labels: SandboxLabels;
  /** build: root inside, package managers, writable root · strict: nothing of that · paranoid: fewer system calls too */
  readonly profile: "build" | "strict" | "paranoid";
  /** image reference or digest on this engine */
  readonly image: string;
  /** none: a loopback · open: a bridge to wherever this machine can go · a policy: no network but our proxy, see egress/ */
  readonly network: "none" | "open" | EgressPolicy;
  readonly mounts: readonly Mount[];
  readonly resources: SandboxResources;
  /** hard limit of the whole sandbox, held inside by a dead-man timer and outside by the host, ms */
  readonly lifetimeMs: number;
}

export interface Command {
  readonly argv: readonly string[];
  readonly user: SandboxUser;
  /** absolute path inside */
  readonly cwd: string;
  /** the whole environment; nothing is inherited */
  readonly env: Readonly<Record<string, string>>;
  /** held from outside the sandbox, ms */
  readonly timeoutMs: number;
  /** captured bytes kept of stdout and stderr together: half from the head, half from the tail */
  readonly outputBytesMax: number;
  /** printed bytes after which the command is ended as `flooded` */
  readonly floodBytesMax: number;
  /** largest single file it may write, bytes; absent: the workspace's size */
  readonly fileBytesMax?: number;
}

export type OutputListener = (stream: "stdout" | "stderr", text: string) => void;

export interface RunOptions {
  readonly signal?: AbortSignal;
  /** bytes fed to stdin, which is then closed; absent: stdin is empty */
  readonly stdin?: Readable | Buffer;
  /** live text as it arrives, valid UTF-8, at most the kept head */
  readonly onOutput?: OutputListener;
}

export interface Usage {
  readonly cpuMs: number;
  readonly memoryPeakBytes: number;
}

export interface CommandResult {
  readonly outcome: Outcome;
  /** stdout and stderr in order of arrival, capped */
  readonly output: CapturedText;
  readonly durationMs: number;
  readonly usage: Usage;
  /** processes of this sandbox that the kernel killed for memory while the command ran; its main process may have lived */
  readonly oomKills: number;
}

/** A command whose stdout is data for us: bytes, bounded, refused when longer. */
export interface DataResult {
  readonly outcome: Outcome;
  readonly stdout: Buffer;
  /** stdout was longer than `outputBytesMax`: what is here is only its beginning */
  readonly truncated: boolean;
  readonly stderr: CapturedText;
}

export interface Sandbox extends AsyncDisposable {
  /** engine's container id, for logs of the operator only */
  readonly id: string;
  readonly spec: SandboxSpec;
  /** name of the runtime that really isolates it, e.g. `runc` */
  readonly runtime: string;
  /** Runs one command to its end. Timeouts, floods and kills are outcomes; aborting `signal` ends it and rejects. */
  run(command: Command, options?: RunOptions): Promise<CommandResult>;
  /** Like `run`, for trusted programs of the image whose stdout crosses the border as bytes. */
  runForData(command: Command, options?: RunOptions): Promise<DataResult>;
  /** Ends every process inside but the supervisor; resolves when none is left. */
  endAll(): Promise<void>;
  /** Ends and removes it. Never throws; safe to call more than once, and while a command runs. */
  close(): Promise<void>;
}

export interface SandboxHost {
  /** Makes, starts and checks a sandbox. On failure or abort nothing of it is left. */
  open(spec: SandboxSpec, signal?: AbortSignal): Promise<Sandbox>;
  /** Keeps the root file system of a `build` sandbox as an image named `reference`. @returns the image's id and size */
  commit(sandbox: Sandbox, reference: string, labels: Readonly<Record<string, string>>): Promise<KeptImage>;
  /** @returns the image, or undefined where this engine has none of that name or id */
  findImage(reference: string): Promise<KeptImage | undefined>;
  removeImage(reference: string): Promise<void>;
  /** Makes a volume, or finds the one of that name. */
  ensureVolume(name: string, labels: Readonly<Record<string, string>>): Promise<void>;
  hasVolume(name: string): Promise<boolean>;
  removeVolume(name: string): Promise<void>;
  /** Names of the volumes that carry all of `labels`. */
  listVolumes(labels: Readonly<Record<string, string>>): Promise<readonly string[]>;
  /** Every container of `instance` that this host sees, running or not; without those that are being removed. */
  list(instance: string): Promise<readonly FoundSandbox[]>;
  /** Removes a container by id, whatever its state; one that is gone already is fine. */
  remove(id: string): Promise<void>;
  /** Answers when the engine does. @throws AppError `sandbox_unavailable` naming the endpoint and what to do */
  ping(signal?: AbortSignal): Promise<EngineInfo>;
}

export interface KeptImage {
  /** content id, `sha256:…` */
  readonly id: string;
  readonly sizeBytes: number;
}

export interface FoundSandbox {
  readonly id: string;
  readonly labels: SandboxLabels;
  readonly createdAtMs: number;
  readonly running: boolean;
}

export interface EngineInfo {
  readonly version: string;
  readonly storageDriver: string;
  readonly cgroupVersion: string;
  readonly runtimes: readonly string[];
}
