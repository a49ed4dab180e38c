/**
 * How long batches run, by the clock that doesn't jump. Only the time before a restart of ours has to be taken from the
 * wall clock, and is never negative.
 */
import type { Clock } from "../kernel/clock.ts";

/** Batches remembered: more than can run at once; the oldest fall out. */
const ORIGINS_MAX = 2_000;

export class BatchTimers {
  readonly #clock: Clock;
  readonly #origins = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param elapsedMs time it had run already, before this process */
  start(batchId: string, elapsedMs = 0): void {
    const [oldest] = this.#origins.keys();
    if (this.#origins.size >= ORIGINS_MAX && oldest !== undefined) this.#origins.delete(oldest);
    this.#origins.set(batchId, this.#clock.monotonicMs() - Math.max(0, elapsedMs));
  }

  /** @param startedAt fallback for a batch that was started elsewhere */
  elapsedMs(batchId: string, startedAt: Date | null): number {
    const origin = this.#origins.get(batchId);
    if (origin !== undefined) return Math.round(Math.max(0, this.#clock.monotonicMs() - origin));
    return startedAt === null ? 0 : Math.max(0, this.#clock.now() - startedAt.getTime());
  }

  forget(batchId: string): void {
    this.#origins.delete(batchId);
  }
}
