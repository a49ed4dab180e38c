/** What scheduling asks of evaluation, and what it gets back. */
import type { AgentSpec, TaskSpec } from "../archive/submission.ts";
import type { BatchId } from "../kernel/ids.ts";
import type { CapturedText, GradingMode, Outcome, Phase, Reason, Verdict } from "../kernel/outcome.ts";
import type { ConnectionCount } from "../sandbox/egress/ledger.ts";
import type { Usage } from "../sandbox/port.ts";
import type { PolicyRecord } from "./policies.ts";

export interface AttemptInput {
  readonly batchId: BatchId;
  /** counted from 1 */
  readonly attempt: number;
  readonly task: TaskSpec;
  readonly agent: AgentSpec;
}

/** Told what happens while it happens; never awaited, never throws. */
export interface AttemptReporter {
  phase(
    phase: Phase,
    state: "started" | "finished",
    detail?: { readonly outcome?: Outcome; readonly cached?: boolean },
  ): void;
  log(phase: Phase, stream: "stdout" | "stderr", text: string): void;
}

export interface PhaseRecord {
  readonly phase: Phase;
  readonly durationMs: number;
  /** absent where the phase was taken from a kept environment */
  readonly outcome?: Outcome;
  readonly cached: boolean;
  readonly usage?: Usage;
  /** where it connected to, or tried to; absent where nothing, or where nobody counts (NETWORK_INSTALL=open) */
  readonly network?: readonly ConnectionCount[];
}

export interface TestResult {
  readonly name: string;
  readonly passed: boolean;
  readonly output: string;
  /** absent where the command did not end by itself or was never run */
  readonly exitCode?: number;
}

/** What speaks for a verdict `tampered`. */
export interface Evidence {
  readonly kind: EvidenceKind;
  /** one sentence for a person; names the file or the command */
  readonly detail: string;
}

export const evidenceKinds = ["hidden_test_changed", "protected_file", "forced_success"] as const;
/**
 * hidden_test_changed: a hidden test was another file after a judging command than before · protected_file: the agent
 * changed what decides how tests run · forced_success: a test that must fail was reported as passing
 */
export type EvidenceKind = (typeof evidenceKinds)[number];

/** The whole result of a judged attempt; a platform fault is an error instead. */
export interface TaskResult {
  readonly verdict: Verdict;
  readonly reason: Reason | null;
  /** in [0, 1] */
  readonly reward: number;
  /** what to tell a person when the task could not be judged */
  readonly error: string | null;
  readonly phases: readonly PhaseRecord[];
  readonly tests: readonly TestResult[];
  readonly agentOutput: CapturedText;
  readonly testOutput: CapturedText;
  readonly agentPatch: CapturedText;
  /** blob of the whole patch, byte for byte, where `agentPatch` had to be cut */
  readonly agentPatchDigest?: string;
  /** limits met and lived through, wishes not honoured, …: one sentence each */
  readonly notes: readonly string[];
  /** empty unless the reason is `tampered` */
  readonly evidence?: readonly Evidence[];
  /** judging commands that no canary stood beside, see canary.ts; absent where no test ran */
  readonly unguarded?: readonly string[];
  readonly agentExitCode?: number;
  readonly baseCommit?: string;
  readonly treeHash?: string;
  readonly environmentImage?: string;
  readonly runtime?: string;
  /** where the tests really ran; absent where none did */
  readonly grading?: GradingMode;
  /** what graded it; absent where no test ran */
  readonly policy?: PolicyRecord;
}

export interface Evaluator {
  /**
   * Judges one attempt. Aborting `signal` ends the sandbox and rejects with the signal's reason.
   * @throws AppError of a platform fault, which the caller retries and never scores
   */
  evaluate(input: AttemptInput, reporter: AttemptReporter, signal: AbortSignal): Promise<TaskResult>;
}
