/**
 * Whether a task tells a solution from none: pure rules on what its judging commands said of the base, and of the base with
 * the reference patch. `fail_to_pass*` must fail on the base and `pass_to_pass*` must pass there; of a task whose commands
 * have neither name at least one must fail. With the reference every command must pass.
 */
import { createHash } from "node:crypto";
import type { JudgeCommand, TaskSpec } from "../archive/submission.ts";
import { canonicalJson } from "../kernel/json.ts";
import { type Outcome, succeeded } from "../kernel/outcome.ts";
import type { EvaluationSettings } from "./settings.ts";

export type JudgeKind = "failToPass" | "passToPass" | "other";

/** What a judging command is for, by its name. */
export function judgeKind(judge: Pick<JudgeCommand, "name">): JudgeKind {
  if (/(^|\/)fail_to_pass/i.test(judge.name)) return "failToPass";
  if (/(^|\/)pass_to_pass/i.test(judge.name)) return "passToPass";
  return "other";
}

/** What a sanity run saw: one entry a judging command, in their order. */
export type SeenOutcomes = readonly (Outcome | undefined)[];

/** @returns one sentence for each way in which the task is not sound; empty: it is */
export function unsoundness(
  judges: readonly Pick<JudgeCommand, "name">[],
  onBase: SeenOutcomes,
  withReference: SeenOutcomes | undefined,
): string[] {
  const passes = (outcome: Outcome | undefined) => outcome !== undefined && succeeded(outcome);
  const problems: string[] = [];
  for (const [index, judge] of judges.entries()) {
    const kind = judgeKind(judge);
    if (kind === "failToPass" && passes(onBase[index])) problems.push(`${judge.name} passes on the base already.`);
    if (kind === "passToPass" && !passes(onBase[index])) problems.push(`${judge.name} fails on the base.`);
    if (withReference !== undefined && !passes(withReference[index])) {
      problems.push(`${judge.name} fails with the reference solution.`);
    }
  }
  if (judges.every((judge, index) => judgeKind(judge) === "other" && passes(onBase[index]))) {
    problems.push("Every judging command passes on the base already.");
  }
  return problems;
}

/** Equal digests mean that a finding of one task holds for the other: same commands, tests, reference, profile and limits. */
export function sanityDigest(task: TaskSpec, settings: EvaluationSettings): string {
  const { referencePatch = null } = task;
  const { testTimeoutMs, profile } = settings;
  const judges = task.judges.map((judge) => ({ ...judge }));
  const testFiles = task.testFiles.map((file) => ({ ...file }));
  const resources = { ...settings.resources };
  const content = canonicalJson({ rules: 2, judges, testFiles, referencePatch, testTimeoutMs, profile, resources });
  return createHash("sha256").update(content).digest("hex");
}
