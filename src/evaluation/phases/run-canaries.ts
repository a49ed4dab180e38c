/** Runs the canaries of a task in the sandbox that has just judged it. */
import { randomBytes } from "node:crypto";
import type { TaskSpec } from "../../archive/submission.ts";
import { type Outcome, succeeded } from "../../kernel/outcome.ts";
import type { Sandbox } from "../../sandbox/port.ts";
import { canariesOf, type RunnerKind } from "../canary.ts";
import { places } from "../places.ts";
import type { Evidence } from "../port.ts";
import { runtimeEnvironment } from "../runtime-environment.ts";
import type { EvaluationSettings } from "../settings.ts";
import { hiddenFiles } from "./run-tests.ts";
import { applyToRepo, placeBelow } from "./workspace.ts";

export interface CanaryRun {
  readonly kind: RunnerKind;
  readonly outcome: Outcome;
  /** its own words were printed: it ran, and failed as it should */
  readonly wasSeen: boolean;
  readonly durationMs: number;
}

/** A canary that takes longer would cost more than it is worth: its command is left unguarded. */
const GUARD_MS_MAX = 10_000;
/** Room for a busier machine than the one that it was tried on; one that is ended speaks for nobody and against nobody. */
const CANARY_TIMEOUT_MS = 30_000;

/**
 * @param kinds the runners whose canary is wanted; absent: all that there are
 * @throws AppError of a platform fault
 */
export async function runCanaries(
  sandbox: Sandbox,
  task: TaskSpec,
  settings: EvaluationSettings,
  signal: AbortSignal,
  kinds?: readonly string[],
): Promise<readonly CanaryRun[]> {
  const runs: CanaryRun[] = [];
  for (const canary of canariesOf(task, () => randomBytes(8).toString("hex"))) {
    if (kinds?.includes(canary.kind) === false) continue;
    const file = { path: canary.path, kind: "file", content: Buffer.from(canary.content) } as const;
    const files = [...hiddenFiles(task), file];
    const folders = [canary.workingDir];
    await applyToRepo(sandbox, "bring the canary", "tests", { files, folders }, signal);
    const command = {
      argv: canary.argv,
      user: "tests",
      cwd: placeBelow(places.repo, canary.workingDir),
      env: runtimeEnvironment,
      timeoutMs: Math.min(settings.testTimeoutMs, CANARY_TIMEOUT_MS),
      outputBytesMax: settings.outputBytesMax,
      floodBytesMax: settings.floodBytesMax,
    } as const;
    const { outcome, output, durationMs } = await sandbox.run(command, { signal });
    await sandbox.endAll();
    await applyToRepo(sandbox, "remove the canary", "tests", { files: [], deleted: [canary.path] }, signal);
    runs.push({ kind: canary.kind, outcome, wasSeen: output.text.includes(canary.token), durationMs });
  }
  return runs;
}

/** The runners whose canary worked where nobody cheats. */
export function guardsOf(runs: readonly CanaryRun[]): readonly RunnerKind[] {
  return runs
    .filter(({ outcome, wasSeen, durationMs }) => {
      return outcome.kind === "exited" && outcome.exitCode !== 0 && wasSeen && durationMs <= GUARD_MS_MAX;
    })
    .map(({ kind }) => kind);
}

/** A canary that passed. */
export function evidenceOfCanaries(runs: readonly CanaryRun[]): readonly Evidence[] {
  return runs
    .filter(({ outcome }) => succeeded(outcome))
    .map(({ kind }) => ({
      kind: "forced_success",
      detail: `A test that must fail was reported as passing by ${kind}: the solution forces its results.`,
    }));
}
