/** What scheduling tells telemetry. */
import type { TaskResult } from "../evaluation/port.ts";
import type { Reason, Verdict } from "../kernel/outcome.ts";

/** The part of pino that this room writes to. */
export interface SchedulerLogger {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
}

export interface AttemptEndedFacts {
  readonly batch: string;
  readonly task: string;
  readonly attempt: number;
  /** judged · retried and gaveUp (platform faults) · handedBack (drain) */
  readonly end: "judged" | "retried" | "gaveUp" | "handedBack";
  readonly durationMs: number;
  readonly verdict?: Verdict;
  readonly reason?: Reason | null;
  /** catalogue code of the platform's fault */
  readonly fault?: string;
  /** phases with durations and usage */
  readonly result?: TaskResult;
}

/** Called while things happen; never awaited, must not throw. */
export interface SchedulerHooks {
  readonly attemptStarted?: (facts: {
    readonly batch: string;
    readonly task: string;
    readonly attempt: number;
  }) => void;
  readonly attemptEnded?: (facts: AttemptEndedFacts) => void;
}

/** Health facts for /status, /ready and /metrics. */
export interface SchedulerStats {
  /** attempts running in this process */
  readonly running: number;
  /** approved tasks that have not ended, without those running here; as last looked up */
  readonly queued: number;
  /** batches being read or running; as last looked up */
  readonly activeBatches: number;
  /** approved batches that wait for their turn; as last looked up */
  readonly waitingBatches: number;
  readonly draining: boolean;
  /** ms since the claim loop last got through to the store; undefined before the first time */
  readonly lastClaimAgeMs: number | undefined;
}
