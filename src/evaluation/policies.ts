/**
 * Grading policies: from what each judging command said to a reward, as pure functions. A policy is never changed once
 * released; another rule is another version. Its id, version and hash are in every result that it graded.
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "../kernel/json.ts";
import type { GradingPolicyId } from "../kernel/outcome.ts";
import type { JudgeKind } from "./sanity.ts";

/** One judging command. */
export interface GradedCommand {
  readonly kind: JudgeKind;
  /** it ran, and exited 0 */
  readonly passed: boolean;
}

/** What a result says of the policy that graded it. */
export interface PolicyRecord {
  readonly id: string;
  readonly version: number;
  /** SHA-256 of the policy's id, version and rule, 64 hex digits */
  readonly hash: string;
}

interface Policy {
  readonly id: string;
  readonly version: number;
  /** the rule in words: what the hash stands for */
  readonly rule: string;
  /** @param commands at least one. @returns a reward in [0, 1]; the task is passed exactly where it is 1 */
  readonly reward: (commands: readonly GradedCommand[]) => number;
}

const policies: Readonly<Record<GradingPolicyId, Policy>> = {
  "all_pass.v1": {
    id: "all_pass",
    version: 1,
    rule: "1 where every judging command exits 0, else 0.",
    reward: (commands) => (commands.every(({ passed }) => passed) ? 1 : 0),
  },
  "f2p_p2p.v1": {
    id: "f2p_p2p",
    version: 1,
    rule: "1 where every fail_to_pass and every pass_to_pass command exits 0, else 0; others count only where there are none of these.",
    reward: (commands) => {
      const named = commands.filter(({ kind }) => kind !== "other");
      return (named.length > 0 ? named : commands).every(({ passed }) => passed) ? 1 : 0;
    },
  },
  "weighted.v1": {
    id: "weighted",
    version: 1,
    rule: "0 where a pass_to_pass command does not exit 0, else the share of the other commands that do; 1 where there are no others.",
    reward: (commands) => {
      const others = commands.filter(({ kind }) => kind !== "passToPass");
      if (commands.some(({ kind, passed }) => kind === "passToPass" && !passed)) return 0;
      return others.length === 0 ? 1 : others.filter(({ passed }) => passed).length / others.length;
    },
  },
};

/** @returns a number in [0, 1]; 0 of no commands at all */
export function rewardOf(policy: GradingPolicyId, commands: readonly GradedCommand[]): number {
  return commands.length === 0 ? 0 : policies[policy].reward(commands);
}

export function policyRecord(policy: GradingPolicyId): PolicyRecord {
  const { id, version, rule } = policies[policy];
  const hash = createHash("sha256").update(canonicalJson({ id, version, rule })).digest("hex");
  return { id, version, hash };
}
