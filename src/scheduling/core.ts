/** What every transaction of scheduling needs. */
import type { Journal } from "../journal/port.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Store } from "../store/port.ts";
import type { BatchTimers } from "./batch-timers.ts";
import type { JobQueue } from "./queue.ts";
import type { RetryPolicy } from "./retry-policy.ts";

export interface Core {
  readonly store: Store;
  readonly journal: Journal;
  readonly queue: JobQueue;
  readonly clock: Clock;
  readonly timers: BatchTimers;
  readonly retry: RetryPolicy;
  /** in [0, 1): jitter */
  readonly random: () => number;
}

/** Channel that says "there is something to claim or to activate"; no payload. */
export const SCHEDULING_CHANNEL = "proctor_scheduling";

/** An attempt that this process has begun. */
export interface Claim {
  readonly batchId: string;
  readonly taskId: string;
  /** counted from 1; the fence */
  readonly attempt: number;
  readonly jobId: string;
  /** blob of the task's and the agent's spec */
  readonly specBlob: string;
}
