/** What one connection was allowed, used and ended by: counted, bounded in time and bytes, and told once. */
import type { Clock } from "../../kernel/clock.ts";
import type { Connection, EgressReason } from "./policy.ts";

export interface PassageOptions {
  /** host that the client's TLS hello must name */
  readonly name: string;
  readonly clock: Clock;
  /** silence after which it is ended, ms */
  readonly idleMs: number;
  readonly signal: AbortSignal;
  /** @returns false where the sandbox has spent all its bytes */
  readonly spend: (bytes: number) => boolean;
  readonly onEnd: (end: Omit<Connection, "host" | "port">) => void;
}

export class Passage {
  readonly name: string;
  readonly #options: PassageOptions;
  readonly #over = new AbortController();
  #bytesUp = 0;
  #bytesDown = 0;
  #isAllowed = false;
  #reason: EgressReason | null = null;
  #cut: () => void = () => {};

  constructor(options: PassageOptions) {
    this.#options = options;
    this.name = options.name;
  }

  /** @param cut ends both sides; called when time or bytes are up, or the sandbox is closed */
  begin(cut: () => void): void {
    this.#cut = cut;
    this.#options.signal.addEventListener("abort", cut, { once: true });
    void this.#watch();
  }

  /** From here on bytes of the client are forwarded. */
  allow(): void {
    this.#isAllowed = true;
  }

  refuse(reason: EgressReason): void {
    this.#reason ??= reason;
    this.#cut();
  }

  up(bytes: number): void {
    this.#bytesUp += bytes;
    this.#spend(bytes);
  }

  down(bytes: number): void {
    this.#bytesDown += bytes;
    this.#spend(bytes);
  }

  /** Both sides are closed. Only the first call counts. */
  end(): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    this.#options.signal.removeEventListener("abort", this.#cut);
    const reason = this.#reason;
    this.#options.onEnd({ allowed: this.#isAllowed, reason, bytesUp: this.#bytesUp, bytesDown: this.#bytesDown });
  }

  #spend(bytes: number): void {
    if (!this.#options.spend(bytes)) this.refuse("bytes_max");
  }

  async #watch(): Promise<void> {
    const { clock, idleMs } = this.#options;
    try {
      for (let seen = -1; seen !== this.#bytesUp + this.#bytesDown; ) {
        seen = this.#bytesUp + this.#bytesDown;
        await clock.sleep(idleMs, this.#over.signal);
      }
      this.refuse("idle");
    } catch {
      // it ended meanwhile
    }
  }
}
