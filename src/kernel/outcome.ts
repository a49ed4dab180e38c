/** The closed lists that results are made of. What untrusted code did is a value from here, whatever it is. */

export const phases = ["clone", "install", "agent", "tests"] as const;
export type Phase = (typeof phases)[number];

/** How one command inside a sandbox ended. */
export type Outcome =
  | { readonly kind: "exited"; readonly exitCode: number }
  | { readonly kind: "signaled"; readonly signal: string }
  | { readonly kind: "timedOut"; readonly limitMs: number }
  | { readonly kind: "outOfMemory"; readonly limitBytes: number }
  | { readonly kind: "flooded"; readonly limitBytes: number }
  | { readonly kind: "diskExhausted"; readonly limitBytes: number };

/** Whether a command ended by itself with exit code 0. */
export function succeeded(outcome: Outcome): boolean {
  return outcome.kind === "exited" && outcome.exitCode === 0;
}

export const verdicts = ["passed", "failed", "inconclusive"] as const;
export type Verdict = (typeof verdicts)[number];

/**
 * Why a task got its verdict; stable codes.
 * failed: tests_failed, tests_timeout, agent_timeout, oom, output_limit, disk_limit, agent_invalid (its own preparation failed),
 *   tampered (the evidence is in the result)
 * inconclusive: no_tests, clone_failed, install_failed, sanity_failed (the task itself is not sound), infra_error, cancelled
 */
export const reasons = [
  "tests_failed",
  "tests_timeout",
  "agent_timeout",
  "oom",
  "output_limit",
  "disk_limit",
  "agent_invalid",
  "tampered",
  "no_tests",
  "clone_failed",
  "install_failed",
  "sanity_failed",
  "infra_error",
  "cancelled",
] as const;
export type Reason = (typeof reasons)[number];

/** Where the hidden tests met the agent's change: its own sandbox, emptied and built again, or a second one. */
export const gradingModes = ["clean", "fresh"] as const;
export type GradingMode = (typeof gradingModes)[number];

/** How judging commands become a reward, see evaluation/policies.ts. */
export const gradingPolicies = ["all_pass.v1", "f2p_p2p.v1", "weighted.v1"] as const;
export type GradingPolicyId = (typeof gradingPolicies)[number];

export const taskStatuses = [
  "queued",
  "cloning_repo",
  "installing_deps",
  "running_agent",
  "running_tests",
  "completed",
  "failed",
  "cancelled",
] as const;
export type TaskStatus = (typeof taskStatuses)[number];

export const batchStatuses = ["pending", "extracting", "running", "completed", "failed", "cancelled"] as const;
export type BatchStatus = (typeof batchStatuses)[number];

/** The task status that clients see while a phase runs. */
export const statusOfPhase: Readonly<Record<Phase, TaskStatus>> = {
  clone: "cloning_repo",
  install: "installing_deps",
  agent: "running_agent",
  tests: "running_tests",
};

/** Captured output: valid UTF-8, cut in the middle to its limit. */
export interface CapturedText {
  readonly text: string;
  /** bytes that were printed, kept or not */
  readonly totalBytes: number;
  readonly truncated: boolean;
}

export const emptyText: CapturedText = { text: "", totalBytes: 0, truncated: false };
