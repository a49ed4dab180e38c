/** The one place where what was seen becomes a verdict: a pure function, one row of CONTRACT.md's table a case. */
import { assertNever } from "../kernel/assert-never.ts";
import { type GradingPolicyId, type Outcome, type Reason, succeeded, type Verdict } from "../kernel/outcome.ts";
import { rewardOf } from "./policies.ts";
import type { Evidence } from "./port.ts";
import type { JudgeKind } from "./sanity.ts";

/** What an attempt came to, as far as it went. */
export type Finding =
  | { readonly kind: "noTests" }
  | { readonly kind: "cloneFailed"; readonly error: string }
  | { readonly kind: "installFailed"; readonly error: string }
  | { readonly kind: "agentInvalid" }
  | { readonly kind: "agentEnded"; readonly reason: AgentEndReason }
  /** the task itself is not sound */
  | { readonly kind: "sanityFailed"; readonly error: string }
  | {
      readonly kind: "judged";
      /** one entry a judging command, in order; undefined: not run, because one before it had to be ended */
      readonly outcomes: readonly (Outcome | undefined)[];
      /** what each command is for, in the same order */
      readonly kinds: readonly JudgeKind[];
      readonly policy: GradingPolicyId;
      /** any makes the verdict `tampered`, whatever the commands said */
      readonly evidence: readonly Evidence[];
    };

export type AgentEndReason = "agent_timeout" | "oom" | "output_limit" | "disk_limit";

export interface Judgement {
  readonly verdict: Verdict;
  readonly reason: Reason | null;
  /** in [0, 1] */
  readonly reward: number;
  /** set exactly where the verdict is `inconclusive` */
  readonly error: string | null;
}

/** Why an agent whose run ended like this is not judged; undefined: it is judged, on what it left. */
export function agentEndReason(outcome: Outcome): AgentEndReason | undefined {
  switch (outcome.kind) {
    case "exited":
    case "signaled":
      return undefined;
    case "timedOut":
      return "agent_timeout";
    case "outOfMemory":
      return "oom";
    case "flooded":
      return "output_limit";
    case "diskExhausted":
      return "disk_limit";
    default:
      return assertNever(outcome);
  }
}

/** @returns the verdict; `passed` only where at least one judging command ran and the policy's reward is 1 */
export function decide(finding: Finding): Judgement {
  switch (finding.kind) {
    case "noTests":
      return inconclusive("no_tests", "The task has no judging command: no tests/*.sh, checks.txt or fail_to_pass.");
    case "cloneFailed":
      return inconclusive("clone_failed", finding.error);
    case "installFailed":
      return inconclusive("install_failed", finding.error);
    case "sanityFailed":
      return inconclusive("sanity_failed", finding.error);
    case "agentInvalid":
      return failed("agent_invalid");
    case "agentEnded":
      return failed(finding.reason);
    case "judged":
      return finding.evidence.length > 0 ? failed("tampered") : decideByTests(finding);
    default:
      return assertNever(finding);
  }
}

function decideByTests({ outcomes, kinds, policy }: Finding & { readonly kind: "judged" }): Judgement {
  if (outcomes.length === 0) return decide({ kind: "noTests" });
  const passes = (outcome: Outcome | undefined) => outcome !== undefined && succeeded(outcome);
  const commands = outcomes.map((outcome, index) => ({ kind: kinds[index] ?? "other", passed: passes(outcome) }));
  const reward = rewardOf(policy, commands);
  if (reward === 1) return { verdict: "passed", reason: null, reward, error: null };
  const first = outcomes.find((outcome) => !passes(outcome));
  return { ...failed(first === undefined ? "tests_failed" : testFailureReason(first)), reward };
}

/** The tests run the agent's code, so a limit they meet is its doing. */
function testFailureReason(outcome: Outcome): Reason {
  switch (outcome.kind) {
    case "exited":
    case "signaled":
      return "tests_failed";
    case "timedOut":
      return "tests_timeout";
    case "outOfMemory":
      return "oom";
    case "flooded":
      return "output_limit";
    case "diskExhausted":
      return "disk_limit";
    default:
      return assertNever(outcome);
  }
}

function failed(reason: Reason): Judgement {
  return { verdict: "failed", reason, reward: 0, error: null };
}

function inconclusive(reason: Reason, error: string): Judgement {
  return { verdict: "inconclusive", reason, reward: 0, error };
}
