/**
 * Disk of a sandbox whose root file system is writable: overlay storage has no quota of its own, so the engine is asked
 * for the size again and again. Strict sandboxes need none of this: their writable places are sized when they are made.
 */
import type { Clock } from "../../kernel/clock.ts";

export interface DiskWatch {
  readonly clock: Clock;
  readonly limitBytes: number;
  readonly signal: AbortSignal;
  /** bytes of the writable layer now */
  measure(): Promise<number>;
  onFull(): void;
}

const INTERVAL_MS = 2_000;

/** Watches until the limit is passed or `signal` aborts. A measurement that fails is taken again later. */
export async function watchDisk({ clock, limitBytes, signal, measure, onFull }: DiskWatch): Promise<void> {
  let waitMs = INTERVAL_MS;
  while (!signal.aborted) {
    await clock.sleep(waitMs, signal).catch(() => {});
    if (signal.aborted) return;
    const startedMs = clock.monotonicMs();
    const bytes = await measure().catch(() => 0);
    if (bytes > limitBytes) return onFull();
    // walking a large tree costs the engine time: never more than a tenth of it
    waitMs = Math.max(INTERVAL_MS, 10 * (clock.monotonicMs() - startedMs));
  }
}
