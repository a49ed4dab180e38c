/**
 * The validator set from the chain, kept fresh.
 *
 * One refresh makes up to three rounds over the endpoints, in their order, each read under a deadline; between rounds it
 * waits with exponential back-off and jitter. The last good set stays through any failure, and through answers that
 * `ShrinkGuard` finds suspicious; both raise an alarm.
 */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { anySignal } from "../../kernel/signals.ts";
import type { ValidatorSet, ValidatorSnapshot } from "../port.ts";
import { type ChainReader, createChainReader } from "./chain-reader.ts";
import { selectEligible, taoToRao } from "./eligible.ts";
import { defaultShrinkLimits, type Keys, ShrinkGuard, type ShrinkLimits, sameKeys } from "./shrink-guard.ts";

export interface ChainReport {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
  /** host of the endpoint it is about */
  readonly endpoint?: string;
  readonly count?: number;
}

export interface BittensorOptions {
  /** SUBTENSOR_URLS: ws:// or wss://, tried in order */
  readonly urls: readonly string[];
  readonly netuid: number;
  readonly minStakeTao: number;
  /** VALIDATOR_REFRESH_SECS × 1000 */
  readonly refreshMs: number;
  readonly clock: Clock;
  readonly report: (report: ChainReport) => void;
  /** for one read of one endpoint; the first includes a megabyte of metadata */
  readonly readTimeoutMs?: number;
  readonly rounds?: number;
  /** doubled after each round */
  readonly backOffMs?: number;
  readonly shrink?: ShrinkLimits;
  /** in [0, 1) */
  readonly random?: () => number;
  /** another way to read an endpoint; for tests */
  readonly reader?: (url: string, onLine: (line: string) => void) => ChainReader;
}

/** Pause before the next refresh while there is no set at all. */
const FIRST_SET_PAUSE_MS = 15_000;

/** @throws AppError `invalid_config` naming an endpoint that is not a ws:// or wss:// URL */
export function createBittensorValidatorSet(options: BittensorOptions): ValidatorSet {
  return new BittensorValidatorSet(options);
}

interface Answer {
  readonly keys: Keys;
  readonly source: string;
}

class BittensorValidatorSet implements ValidatorSet {
  readonly #options: Required<BittensorOptions>;
  readonly #readers: readonly ChainReader[];
  readonly #guard: ShrinkGuard;
  readonly #ended = new AbortController();
  #snapshot: ValidatorSnapshot | undefined;
  #failure: { readonly reason: string; readonly atMs: number } | undefined;
  #refreshing: Promise<ValidatorSnapshot> | undefined;
  #loop: Promise<void> | undefined;

  constructor(given: BittensorOptions) {
    const defaults = { readTimeoutMs: 20_000, rounds: 3, backOffMs: 1_000, shrink: defaultShrinkLimits };
    this.#options = { ...defaults, random: Math.random, reader: createChainReader, ...given };
    for (const url of given.urls) checkUrl(url);
    if (given.urls.length === 0) throw new AppError("invalid_config", "SUBTENSOR_URLS is empty; name at least one");
    const onLine = (line: string) => given.report({ level: "debug", message: `@polkadot/api: ${line}` });
    this.#readers = given.urls.map((url) => this.#options.reader(url, onLine));
    this.#guard = new ShrinkGuard(this.#options.shrink);
  }

  current(): ValidatorSnapshot | undefined {
    return this.#snapshot;
  }

  failure(): { readonly reason: string; readonly sinceMs: number } | undefined {
    if (this.#failure === undefined) return undefined;
    return { reason: this.#failure.reason, sinceMs: this.#options.clock.monotonicMs() - this.#failure.atMs };
  }

  /** Callers at the same time share one refresh; `signal` ends only one's own waiting. */
  async refresh(signal?: AbortSignal): Promise<ValidatorSnapshot> {
    signal?.throwIfAborted();
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = undefined;
    });
    if (signal === undefined) return this.#refreshing;
    const aborted = Promise.withResolvers<never>();
    const onAbort = () => aborted.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([this.#refreshing, aborted.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      // Nobody may be left to hear of its failure.
      this.#refreshing?.catch(() => undefined);
    }
  }

  start(): void {
    this.#loop ??= this.#keepFresh();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new AppError("shutting_down", "the validator set is no longer kept"));
    await this.#refreshing?.catch(() => undefined);
    await this.#loop;
    for (const reader of this.#readers) await reader[Symbol.asyncDispose]();
  }

  async #keepFresh(): Promise<void> {
    const { clock, refreshMs, random } = this.#options;
    while (!this.#ended.signal.aborted) {
      await this.refresh().catch(() => undefined); // reported where it failed
      const pauseMs = this.#snapshot === undefined ? Math.min(refreshMs, FIRST_SET_PAUSE_MS) : refreshMs;
      await clock.sleep(pauseMs * (0.9 + 0.2 * random()), this.#ended.signal).catch(() => undefined);
    }
  }

  async #refresh(): Promise<ValidatorSnapshot> {
    const { clock, report } = this.#options;
    try {
      const { keys, source } = await this.#agree();
      this.#guard.clear();
      const snapshot: ValidatorSnapshot = { keys, readAtMs: clock.now(), source };
      if (this.#snapshot === undefined || !sameKeys(this.#snapshot.keys, keys)) {
        report({ level: "info", message: "validator set changed", endpoint: source, count: keys.size });
      }
      this.#snapshot = snapshot;
      this.#failure = undefined;
      return snapshot;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      const kept =
        this.#snapshot === undefined ? "there is no set yet" : `the last one stays (${this.#snapshot.keys.size} keys)`;
      this.#failure = { reason, atMs: clock.monotonicMs() };
      if (!this.#ended.signal.aborted)
        report({ level: "error", message: `validator set not refreshed, ${kept}: ${reason}` });
      if (error instanceof AppError) throw error;
      throw new AppError("chain_unavailable", reason, { cause: error });
    }
  }

  /** An answer that may replace the last good set. @throws AppError `chain_unavailable` */
  async #agree(): Promise<Answer> {
    const { rounds, backOffMs, clock, random } = this.#options;
    const troubles: string[] = [];
    for (let round = 0; round < rounds; round++) {
      if (round > 0) await clock.sleep(backOffMs * 2 ** (round - 1) * (0.5 + random()), this.#ended.signal);
      const suspects: Answer[] = [];
      for (const reader of this.#readers) {
        const answer = await this.#read(reader, troubles);
        if (answer === undefined) continue;
        if (!this.#guard.isSuspicious(this.#snapshot?.keys, answer.keys)) return answer;
        if (suspects.some((other) => sameKeys(other.keys, answer.keys))) return answer;
        suspects.push(answer);
      }
      const suspect = suspects[0];
      if (suspect !== undefined) return this.#doubt(suspect);
    }
    const { netuid } = this.#options;
    throw new AppError(
      "chain_unavailable",
      `no endpoint told the validators of netuid ${netuid}: ${troubles.join("; ")}`,
    );
  }

  async #read(reader: ChainReader, troubles: string[]): Promise<Answer | undefined> {
    const { netuid, minStakeTao, readTimeoutMs, report } = this.#options;
    const source = new URL(reader.url).host;
    const timeout = AbortSignal.timeout(readTimeoutMs);
    let trouble: string;
    try {
      const neurons = await reader.readNeurons(netuid, anySignal(this.#ended.signal, timeout));
      const keys = selectEligible(neurons, taoToRao(minStakeTao));
      if (keys.size > 0 || this.#snapshot !== undefined) return { keys, source };
      trouble = `nobody on netuid ${netuid} has a permit, is active and has ${minStakeTao} TAO; check BITTENSOR_NETUID and MIN_VALIDATOR_STAKE_TAO`;
    } catch (error) {
      this.#ended.signal.throwIfAborted();
      trouble = timeout.aborted ? `no answer in ${readTimeoutMs} ms` : (error as Error).message.slice(0, 300);
    }
    report({ level: "warn", message: `endpoint failed: ${trouble}`, endpoint: source });
    const line = `${source}: ${trouble}`;
    if (!troubles.includes(line)) troubles.push(line);
    return undefined;
  }

  #doubt(suspect: Answer): Answer {
    if (this.#guard.confirms(suspect.keys, this.#options.clock.monotonicMs())) return suspect;
    const had = this.#snapshot?.keys.size ?? 0;
    throw new AppError(
      "chain_unavailable",
      `${suspect.source} lists ${suspect.keys.size} validators where ${had} were; not taken until a second endpoint says the same or it stays so`,
    );
  }
}

function checkUrl(text: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === "ws:" || url?.protocol === "wss:") return;
  throw new AppError(
    "invalid_config",
    `SUBTENSOR_URLS: ${JSON.stringify(text.slice(0, 80))} is not a ws:// or wss:// URL`,
  );
}
