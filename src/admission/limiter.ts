/**
 * Limits what a flood of failures may cost. Only failures drain; what succeeds is free, however much of it comes.
 *
 * Theory of operation. Verifying a signature costs 2–5 ms of processor time, so some must be refused unverified. Whom to
 * refuse is decided per pair of (address, key), so that naming another's key from one's own address harms only one's own
 * pair. An address and the whole server have a budget too, for those who change keys or addresses; the address's budget
 * binds only pairs that have failed lately, and the server's only pairs that have never succeeded: a good caller beside a
 * flood from its own address, or under one from everywhere, is still heard. What costs next to nothing to refuse (bytes
 * that can't be a signature; a signature that has failed here before, since one signature fits one message only) drains a
 * budget of its own, so that such floods never use up a pair's chances of being verified.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { isIPv6 } from "node:net";
import type { Clock } from "../kernel/clock.ts";
import type { PublicKeyHex } from "../kernel/ids.ts";

export interface FailureBudget {
  /** failures that may come at once */
  readonly burstCount: number;
  /** failures forgiven each second */
  readonly perSecond: number;
  /** subjects remembered; beyond that the one longest untouched is forgotten */
  readonly subjectsMax: number;
}

interface Bucket {
  failures: number;
  atMs: number;
}

/** Counts failures per subject (an address, a pair, …) in leaky buckets of bounded memory. */
export class FailureLimiter {
  readonly #budget: FailureBudget;
  readonly #clock: Clock;
  /** in order of last use: the first is the next to be forgotten */
  readonly #buckets = new Map<string, Bucket>();

  constructor(budget: FailureBudget, clock: Clock) {
    this.#budget = budget;
    this.#clock = clock;
  }

  /** @returns whole seconds until the subject may try again; 0: now */
  retryAfterSecs(subject: string): number {
    const excess = this.#failures(subject) + 1 - this.#budget.burstCount;
    return excess <= 0 ? 0 : Math.max(1, Math.ceil(excess / this.#budget.perSecond));
  }

  /** Whether nothing is held against the subject. */
  isClean(subject: string): boolean {
    return this.#failures(subject) === 0;
  }

  /** Counts one failure of the subject, now. */
  fail(subject: string): void {
    const failures = Math.min(this.#failures(subject) + 1, this.#budget.burstCount);
    this.#buckets.delete(subject);
    this.#buckets.set(subject, { failures, atMs: this.#clock.monotonicMs() });
    forgetOldest(this.#buckets, this.#budget.subjectsMax);
  }

  get subjectCount(): number {
    return this.#buckets.size;
  }

  #failures(subject: string): number {
    const bucket = this.#buckets.get(subject);
    if (bucket === undefined) return 0;
    const forgiven = ((this.#clock.monotonicMs() - bucket.atMs) / 1_000) * this.#budget.perSecond;
    const left = bucket.failures - forgiven;
    if (left > 0) return left;
    this.#buckets.delete(subject);
    return 0;
  }
}

export interface SignatureBudgets {
  readonly pair: FailureBudget;
  readonly address: FailureBudget;
  readonly server: FailureBudget;
  /** refusals that cost nothing, per address */
  readonly cheap: FailureBudget;
  /** true signatures whose nonce was spent already, per pair */
  readonly replay: FailureBudget;
  /** pairs known to have succeeded, and signatures known to have failed, that are remembered */
  readonly memoryMax: number;
}

/**
 * A verification that fails costs 5 ms (raw, then wrapped): a flood from one place takes at most two fifths of one
 * processor, from everywhere three fifths. Generous on purpose: of 2000 random signatures a second 60 are well formed, and
 * with these budgets a good caller of the same key, at the same address, is still heard among them.
 */
export const defaultSignatureBudgets: SignatureBudgets = {
  pair: { burstCount: 40, perSecond: 60, subjectsMax: 16_384 },
  address: { burstCount: 100, perSecond: 80, subjectsMax: 16_384 },
  server: { burstCount: 300, perSecond: 120, subjectsMax: 1 },
  cheap: { burstCount: 100, perSecond: 20, subjectsMax: 16_384 },
  replay: { burstCount: 200, perSecond: 10, subjectsMax: 16_384 },
  memoryMax: 16_384,
};

/** One request before its signature is verified. */
export interface SignatureAttempt {
  readonly address: string;
  readonly publicKey: PublicKeyHex;
  readonly signature: Uint8Array;
}

/** Decides which signatures are worth verifying. Callers ask `admit`, then report `failed` or `succeeded`. */
export class SignatureLimiter {
  readonly #pairs: FailureLimiter;
  readonly #addresses: FailureLimiter;
  readonly #server: FailureLimiter;
  readonly #cheap: FailureLimiter;
  readonly #replays: FailureLimiter;
  readonly #memoryMax: number;
  readonly #standing = new Map<string, true>();
  readonly #failed = new Map<string, true>();

  constructor(clock: Clock, budgets: SignatureBudgets = defaultSignatureBudgets) {
    this.#pairs = new FailureLimiter(budgets.pair, clock);
    this.#addresses = new FailureLimiter(budgets.address, clock);
    this.#server = new FailureLimiter(budgets.server, clock);
    this.#cheap = new FailureLimiter(budgets.cheap, clock);
    this.#replays = new FailureLimiter(budgets.replay, clock);
    this.#memoryMax = budgets.memoryMax;
  }

  /** @returns 0: verify it · otherwise whole seconds to wait */
  admit(attempt: SignatureAttempt): number {
    const address = addressGroup(attempt.address);
    const pair = `${address} ${attempt.publicKey}`;
    const ofPair = Math.max(this.#pairs.retryAfterSecs(pair), this.#replays.retryAfterSecs(pair));
    if (ofPair > 0) return ofPair;
    const ofAddress = this.#pairs.isClean(pair) ? 0 : this.#addresses.retryAfterSecs(address);
    if (ofAddress > 0) return ofAddress;
    return this.#standing.has(pair) ? 0 : this.#server.retryAfterSecs("");
  }

  /** Whether this very signature has failed for this pair before, and so needs no second look. */
  hasFailedBefore(attempt: SignatureAttempt): boolean {
    return this.#failed.has(fingerprint(attempt));
  }

  /** Records a verification that failed. */
  failed(attempt: SignatureAttempt): void {
    const address = addressGroup(attempt.address);
    this.#pairs.fail(`${address} ${attempt.publicKey}`);
    this.#addresses.fail(address);
    this.#server.fail("");
    remember(this.#failed, fingerprint(attempt), this.#memoryMax);
  }

  /** Records a true signature with a spent nonce: verified for nothing, so it has its limit too, wide of honest repeats. */
  replayed(attempt: SignatureAttempt): void {
    this.#replays.fail(`${addressGroup(attempt.address)} ${attempt.publicKey}`);
  }

  /** Records a refusal that cost nothing. @returns 0, or whole seconds to wait */
  refusedCheaply(address: string): number {
    const group = addressGroup(address);
    const secs = this.#cheap.retryAfterSecs(group);
    this.#cheap.fail(group);
    return secs;
  }

  /** Records a verification that succeeded. */
  succeeded(attempt: SignatureAttempt): void {
    remember(this.#standing, `${addressGroup(attempt.address)} ${attempt.publicKey}`, this.#memoryMax);
  }
}

/** Scoped by address: a victim's captured signature, sent first by another with a wrong nonce, must not count against it. */
function fingerprint(attempt: SignatureAttempt): string {
  return createHash("sha256")
    .update(`${addressGroup(attempt.address)} ${attempt.publicKey} `)
    .update(attempt.signature)
    .digest("base64");
}

function remember(memory: Map<string, true>, key: string, max: number): void {
  memory.delete(key);
  memory.set(key, true);
  forgetOldest(memory, max);
}

function forgetOldest(memory: Map<string, unknown>, max: number): void {
  for (const key of memory.keys()) {
    if (memory.size <= max) return;
    memory.delete(key);
  }
}

/** One subject per caller: an IPv6 host owns its whole /64, and `::ffff:1.2.3.4` is 1.2.3.4. */
export function addressGroup(address: string): string {
  const plain = address.replace(/%.*$/, "");
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(plain)) return plain;
  const [head = "", tail = ""] = new URL(`http://[${plain}]`).hostname.slice(1, -1).split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === "" ? [] : tail.split(":");
  const groups = [...front, ...Array<string>(Math.max(0, 8 - front.length - back.length)).fill("0"), ...back];
  return `${groups.slice(0, 4).join(":")}::/64`;
}

/** Whether two tokens are equal, in a time that tells nothing of where they differ or how long the true one is. */
export function constantTimeEquals(given: string, expected: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}
