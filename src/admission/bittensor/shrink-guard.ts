/**
 * Guards the last good set against answers that are more likely an endpoint's fault than the subnet's.
 *
 * An answer of half the last set or less is suspicious. It is taken only when a second endpoint says the same in the same
 * refresh, or when it has been the answer, unchanged, of several refreshes and for a time. An empty answer is never taken
 * by patience alone: a set that nobody is in is of no use, and one that was good is.
 */
import type { PublicKeyHex } from "../../kernel/ids.ts";

export interface ShrinkLimits {
  /** refreshes that must agree */
  readonly confirmCount: number;
  /** and how long they must have done so */
  readonly confirmMs: number;
}

export const defaultShrinkLimits: ShrinkLimits = { confirmCount: 3, confirmMs: 15 * 60_000 };

export type Keys = ReadonlySet<PublicKeyHex>;

export class ShrinkGuard {
  readonly #limits: ShrinkLimits;
  #suspect: { readonly keys: Keys; readonly sinceMs: number; count: number } | undefined;

  constructor(limits: ShrinkLimits = defaultShrinkLimits) {
    this.#limits = limits;
  }

  /** Whether an answer needs to be confirmed before it replaces `last`. */
  isSuspicious(last: Keys | undefined, answer: Keys): boolean {
    return last !== undefined && last.size > 0 && answer.size * 2 <= last.size;
  }

  /** Notes the suspicious answer of one whole refresh. @returns whether it is confirmed by now */
  confirms(answer: Keys, monotonicMs: number): boolean {
    if (this.#suspect === undefined || !sameKeys(this.#suspect.keys, answer)) {
      this.#suspect = { keys: answer, sinceMs: monotonicMs, count: 0 };
    }
    this.#suspect.count++;
    const { count, sinceMs } = this.#suspect;
    return answer.size > 0 && count >= this.#limits.confirmCount && monotonicMs - sinceMs >= this.#limits.confirmMs;
  }

  /** A good answer was taken: earlier suspicion is over. */
  clear(): void {
    this.#suspect = undefined;
  }
}

export function sameKeys(a: Keys, b: Keys): boolean {
  return a.size === b.size && [...a].every((key) => b.has(key));
}
