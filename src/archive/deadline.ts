import type { Clock } from "../kernel/clock.ts";
import type { AppError } from "../kernel/errors.ts";
import { anySignal } from "../kernel/signals.ts";

/**
 * Runs `work` with a signal that aborts after `limitMs`, or when `signal` does.
 * `work` must end soon after its signal aborted and reject with its reason.
 */
export async function within<T>(
  clock: Clock,
  limitMs: number,
  signal: AbortSignal | undefined,
  late: () => AppError,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const timer = new AbortController();
  const ended = new AbortController();
  void clock.sleep(limitMs, ended.signal).then(
    () => timer.abort(late()),
    () => undefined,
  );
  const combined = anySignal(signal, timer.signal);
  try {
    combined.throwIfAborted();
    return await work(combined);
  } finally {
    ended.abort();
  }
}
