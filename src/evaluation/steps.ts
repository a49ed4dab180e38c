/** Short commands of ours inside a sandbox: how they are run, and what their failing means. */
import { assertNever } from "../kernel/assert-never.ts";
import { AppError } from "../kernel/errors.ts";
import { type CapturedText, type Outcome, succeeded } from "../kernel/outcome.ts";
import type { Command, CommandResult, RunOptions, Sandbox, SandboxUser } from "../sandbox/port.ts";
import { PATH } from "./places.ts";
import { type OutgoingFile, tarOf } from "./tar-of-ours.ts";

export interface Step {
  /** for messages, e.g. `take the patch` */
  readonly name: string;
  readonly argv: readonly string[];
  readonly user: SandboxUser;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Enough for copying a large workspace on a busy disk. */
const STEP_TIMEOUT_MS = 120_000;
const STEP_OUTPUT_BYTES_MAX = 32 * 1024;
const STEP_FLOOD_BYTES_MAX = 64 * 1024 ** 2;

/** The environment of our own commands: nothing that a repository or an agent could have said. */
const stepEnvironment = { PATH, HOME: "/nonexistent", LANG: "C.UTF-8", LC_ALL: "C.UTF-8" };

export function commandOf(step: Step): Command {
  return {
    argv: step.argv,
    user: step.user,
    cwd: step.cwd ?? "/",
    env: { ...stepEnvironment, ...step.env },
    timeoutMs: step.timeoutMs ?? STEP_TIMEOUT_MS,
    outputBytesMax: STEP_OUTPUT_BYTES_MAX,
    floodBytesMax: STEP_FLOOD_BYTES_MAX,
  };
}

/** Runs a step whose end is for the caller to judge. */
export function tryStep(sandbox: Sandbox, step: Step, options: RunOptions): Promise<CommandResult> {
  return sandbox.run(commandOf(step), options);
}

/** Runs a step that fails only where the platform does. @throws AppError `sandbox_failed` naming the step */
export async function mustStep(sandbox: Sandbox, step: Step, options: RunOptions): Promise<CommandResult> {
  const result = await tryStep(sandbox, step, options);
  if (!succeeded(result.outcome)) throw stepFailure(step.name, result.outcome, result.output);
  return result;
}

/** Runs a step whose output is a short text. @throws AppError `sandbox_failed` naming the step */
export async function textOfStep(sandbox: Sandbox, step: Step, signal: AbortSignal): Promise<string> {
  const result = await sandbox.runForData(commandOf(step), { signal });
  if (!succeeded(result.outcome)) throw stepFailure(step.name, result.outcome, result.stderr);
  return result.stdout.toString("utf8").trim();
}

/** Unpacks `files` below `folder` as `user`, with exactly the permissions they name, over whatever files are there. */
export function putFiles(
  sandbox: Sandbox,
  to: { readonly name: string; readonly user: SandboxUser; readonly folder: string },
  files: Iterable<OutgoingFile>,
  signal: AbortSignal,
): Promise<CommandResult> {
  const argv = ["tar", "-x", "-p", "--no-same-owner", "--delay-directory-restore", "-C", to.folder, "-f", "-"];
  return tryStep(sandbox, { name: to.name, argv, user: to.user }, { signal, stdin: tarOf(files) });
}

export function stepFailure(name: string, outcome: Outcome, output: CapturedText): AppError {
  return new AppError(
    "sandbox_failed",
    `could not ${name}: ${describeOutcome(outcome)}: ${output.text.trim().slice(0, 500)}`,
  );
}

/** An outcome in words: `exited with code 1`. */
export function describeOutcome(outcome: Outcome): string {
  switch (outcome.kind) {
    case "exited":
      return `exited with code ${outcome.exitCode}`;
    case "signaled":
      return `was ended by ${outcome.signal}`;
    case "timedOut":
      return `ran out of its ${outcome.limitMs / 1_000} s`;
    case "outOfMemory":
      return `ran out of its ${outcome.limitBytes} bytes of memory`;
    case "flooded":
      return `printed more than ${outcome.limitBytes} bytes`;
    case "diskExhausted":
      return `filled its disk of ${outcome.limitBytes} bytes`;
    default:
      return assertNever(outcome);
  }
}
