/** A wait that others end: what the loops sleep on. */
import type { Clock } from "../kernel/clock.ts";

export class Wake {
  readonly #clock: Clock;
  #pending = false;
  #resume: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the present wait, or the next one at once. */
  now(): void {
    this.#pending = true;
    this.#resume?.();
  }

  /** Waits for `now`, for `timeoutMs` at most, or until `signal` aborts; never rejects. */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#pending && !signal.aborted) {
      const sleeping = new AbortController();
      const called = new Promise<void>((resolve) => {
        this.#resume = resolve;
      });
      await Promise.race([
        called,
        this.#clock.sleep(timeoutMs, AbortSignal.any([signal, sleeping.signal])).catch(() => undefined),
      ]);
      this.#resume = undefined;
      sleeping.abort();
    }
    this.#pending = false;
  }
}
