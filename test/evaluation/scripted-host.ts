/** A sandbox host that does what the test says, and keeps what it was asked. No engine, no process. */
import { buffer } from "node:stream/consumers";
import { type CapturedText, emptyText, type Outcome } from "../../src/kernel/outcome.ts";
import { deferred } from "../../src/kernel/signals.ts";
import type {
  Command,
  CommandResult,
  DataResult,
  KeptImage,
  RunOptions,
  Sandbox,
  SandboxHost,
  SandboxSpec,
} from "../../src/sandbox/port.ts";

export interface Call {
  readonly spec: SandboxSpec;
  readonly command: Command;
  readonly stdin: Buffer;
  /** the command line as one text, to match on */
  readonly line: string;
  readonly signal: AbortSignal | undefined;
  readonly onOutput: RunOptions["onOutput"];
}

export interface Answer {
  readonly outcome?: Outcome;
  readonly stdout?: string | Buffer;
  readonly stderr?: string;
  readonly oomKills?: number;
  readonly truncated?: boolean;
}

/** @returns what a command did; undefined: it exits 0 and prints nothing */
export type Script = (call: Call) => Answer | undefined | Promise<Answer | undefined>;

export const exited = (exitCode: number): Outcome => ({ kind: "exited", exitCode });

export function textOf(text: string): CapturedText {
  return { text, totalBytes: Buffer.byteLength(text), truncated: false };
}

export class ScriptedHost implements SandboxHost {
  readonly script: Script;
  readonly specs: SandboxSpec[] = [];
  readonly calls: Call[] = [];
  /** `open`, `endAll`, `close` and every command's line, in order */
  readonly log: string[] = [];
  readonly images = new Map<string, KeptImage>([["proctor/sandbox:latest", { id: "sha256:base", sizeBytes: 1 }]]);
  readonly volumes = new Set<string>();
  openCount = 0;
  #imageSerial = 0;

  constructor(script: Script = () => undefined) {
    this.script = script;
  }

  async open(spec: SandboxSpec, signal?: AbortSignal): Promise<Sandbox> {
    signal?.throwIfAborted();
    this.specs.push(spec);
    this.log.push(`open ${spec.profile}`);
    this.openCount += 1;
    let isOpen = true;
    const close = async () => {
      if (!isOpen) return;
      isOpen = false;
      this.openCount -= 1;
      this.log.push("close");
    };
    return {
      id: `scripted-${this.specs.length}`,
      spec,
      runtime: "scripted",
      run: (command, options) => this.#run(spec, command, options),
      runForData: (command, options) => this.#runForData(spec, command, options),
      endAll: async () => {
        this.log.push("endAll");
      },
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  async #answer(spec: SandboxSpec, command: Command, options: RunOptions = {}): Promise<Answer> {
    const { stdin, signal, onOutput } = options;
    const bytes = stdin === undefined ? Buffer.alloc(0) : Buffer.isBuffer(stdin) ? stdin : await buffer(stdin);
    const line = command.argv.join(" ");
    const call: Call = { spec, command, stdin: bytes, line, signal, onOutput };
    this.calls.push(call);
    this.log.push(line);
    const aborted = deferred<never>();
    const onAbort = () => aborted.reject(signal?.reason);
    if (signal?.aborted) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    const scripted = Promise.resolve(this.script(call));
    return (await Promise.race([scripted, aborted.promise])) ?? {};
  }

  async #run(spec: SandboxSpec, command: Command, options?: RunOptions): Promise<CommandResult> {
    const answer = await this.#answer(spec, command, options);
    const output = textOf(`${answer.stdout ?? ""}${answer.stderr ?? ""}`);
    return {
      outcome: answer.outcome ?? exited(0),
      output: { ...output, truncated: answer.truncated ?? false },
      durationMs: 1,
      usage: { cpuMs: 1, memoryPeakBytes: 1 },
      oomKills: answer.oomKills ?? 0,
    };
  }

  async #runForData(spec: SandboxSpec, command: Command, options?: RunOptions): Promise<DataResult> {
    const answer = await this.#answer(spec, command, options);
    return {
      outcome: answer.outcome ?? exited(0),
      stdout: Buffer.from(answer.stdout ?? ""),
      truncated: answer.truncated ?? false,
      stderr: answer.stderr === undefined ? emptyText : textOf(answer.stderr),
    };
  }

  async commit(_sandbox: Sandbox, reference: string): Promise<KeptImage> {
    this.#imageSerial += 1;
    const image = { id: `sha256:kept-${this.#imageSerial}`, sizeBytes: 42 };
    this.images.set(reference, image);
    this.log.push(`commit ${reference}`);
    return image;
  }

  async findImage(reference: string): Promise<KeptImage | undefined> {
    return this.images.get(reference);
  }

  async removeImage(reference: string): Promise<void> {
    this.images.delete(reference);
  }

  async ensureVolume(name: string): Promise<void> {
    this.volumes.add(name);
  }

  async hasVolume(name: string): Promise<boolean> {
    return this.volumes.has(name);
  }

  async removeVolume(name: string): Promise<void> {
    this.volumes.delete(name);
  }

  async listVolumes(): Promise<readonly string[]> {
    return [...this.volumes];
  }

  async list(): Promise<[]> {
    return [];
  }

  async remove(): Promise<void> {}

  async ping() {
    return { version: "0", storageDriver: "none", cgroupVersion: "2", runtimes: [] };
  }
}
