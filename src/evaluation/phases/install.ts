/** The install phase: the task's own commands, by bash as root with the network of NETWORK_INSTALL, one after the other. */
import type { TaskSpec } from "../../archive/submission.ts";
import type { Clock } from "../../kernel/clock.ts";
import { type CapturedText, type Outcome, succeeded } from "../../kernel/outcome.ts";
import type { CommandResult, OutputListener, Sandbox, Usage } from "../../sandbox/port.ts";
import { capture, concatenate } from "../captured.ts";
import { PATH, places } from "../places.ts";
import { describeOutcome, mustStep, putFiles, stepFailure } from "../steps.ts";
import type { TrustEnvironment } from "../trust.ts";
import { placeBelow } from "./workspace.ts";

export interface InstallOrder {
  readonly task: TaskSpec;
  readonly trust: TrustEnvironment;
  /** for all commands together, ms */
  readonly timeoutMs: number;
  readonly outputBytesMax: number;
  readonly floodBytesMax: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onOutput: OutputListener;
}

export interface InstallResult {
  /** of the last command that ran; exit 0 where there was none */
  readonly outcome: Outcome;
  readonly output: CapturedText;
  readonly usage: Usage;
  /** set where a command did not exit 0: what to tell a person */
  readonly error?: string;
}

const ERROR_OUTPUT_BYTES_MAX = 4_096;
const scriptsFolder = `${places.task}/install`;

export async function install(sandbox: Sandbox, order: InstallOrder): Promise<InstallResult> {
  const { task, signal } = order;
  await bringScripts(sandbox, task.install, signal);
  const endAtMs = order.clock.monotonicMs() + order.timeoutMs;
  const parts: { header: string; text: CapturedText }[] = [];
  let usage: Usage = { cpuMs: 0, memoryPeakBytes: 0 };
  let outcome: Outcome = { kind: "exited", exitCode: 0 };
  for (const [index, line] of task.install.entries()) {
    const leftMs = Math.max(1, endAtMs - order.clock.monotonicMs());
    const result = await runOne(sandbox, order, index, leftMs);
    parts.push({ header: `$ ${firstLine(line)}`, text: result.output });
    usage = addUsage(usage, result.usage);
    outcome = result.outcome;
    if (!succeeded(outcome)) {
      const tail = capture(result.output.text, ERROR_OUTPUT_BYTES_MAX).text.trim();
      const error = `Install command ${index + 1} (${firstLine(line)}) ${describeOutcome(outcome)}.\n${tail}`;
      return { outcome, output: concatenate(parts, order.outputBytesMax), usage, error };
    }
    // A daemon that one command left would otherwise hold files open while the next one runs.
    await sandbox.endAll();
  }
  await mustStep(
    sandbox,
    { name: "remove the install scripts", argv: ["rm", "-rf", "--", scriptsFolder], user: "root" },
    { signal },
  );
  return { outcome, output: concatenate(parts, order.outputBytesMax), usage };
}

function runOne(sandbox: Sandbox, order: InstallOrder, index: number, timeoutMs: number): Promise<CommandResult> {
  return sandbox.run(
    {
      argv: ["bash", `${scriptsFolder}/${index + 1}.sh`],
      user: "root",
      cwd: placeBelow(places.repo, order.task.installDir),
      env: { ...installEnvironment, ...order.trust },
      timeoutMs,
      outputBytesMax: order.outputBytesMax,
      floodBytesMax: order.floodBytesMax,
    },
    { signal: order.signal, onOutput: order.onOutput },
  );
}

async function bringScripts(sandbox: Sandbox, commands: readonly string[], signal: AbortSignal): Promise<void> {
  const name = "bring the install commands";
  await mustStep(sandbox, { name, argv: ["mkdir", "-p", scriptsFolder], user: "root" }, { signal });
  const files = commands.map((command, index) => ({
    path: `${index + 1}.sh`,
    kind: "file" as const,
    content: Buffer.from(command.endsWith("\n") ? command : `${command}\n`),
  }));
  const put = await putFiles(sandbox, { name, user: "root", folder: scriptsFolder }, files, signal);
  if (!succeeded(put.outcome)) throw stepFailure(name, put.outcome, put.output);
}

/** What package managers need to run unattended. Nothing of the server's own environment is in it. */
export const installEnvironment: Readonly<Record<string, string>> = {
  PATH,
  HOME: places.home,
  USER: "root",
  LANG: "C.UTF-8",
  TERM: "dumb",
  DEBIAN_FRONTEND: "noninteractive",
  // The sandbox image is thrown away with the task: the system's Python is the task's Python.
  PIP_BREAK_SYSTEM_PACKAGES: "1",
  PIP_ROOT_USER_ACTION: "ignore",
  PIP_DISABLE_PIP_VERSION_CHECK: "1",
  PIP_NO_INPUT: "1",
  npm_config_update_notifier: "false",
  npm_config_fund: "false",
  npm_config_audit: "false",
};

export function addUsage(a: Usage, b: Usage): Usage {
  return { cpuMs: a.cpuMs + b.cpuMs, memoryPeakBytes: Math.max(a.memoryPeakBytes, b.memoryPeakBytes) };
}

function firstLine(text: string): string {
  const line = text.split("\n", 1)[0] ?? "";
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
