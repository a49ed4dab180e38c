/** One connection that was let through: counted, and bounded in time and bytes. */
import type { Clock } from "../../kernel/clock.ts";
import type { Connection, EgressReason, HostPort } from "./policy.ts";

export interface PassageOptions {
  readonly target: HostPort;
  readonly clock: Clock;
  /** silence after which it is ended, ms */
  readonly idleMs: number;
  readonly signal: AbortSignal;
  /** @returns false where the sandbox has spent all its bytes */
  readonly spend: (bytes: number) => boolean;
}

export class Passage implements Connection {
  readonly host: string;
  readonly port: number;
  readonly #options: PassageOptions;
  readonly #over = new AbortController();
  #bytesUp = 0;
  #bytesDown = 0;
  #isAllowed = false;
  #reason: EgressReason | null = null;
  #cut: () => void = () => {};

  constructor(options: PassageOptions) {
    this.#options = options;
    this.host = options.target.host;
    this.port = options.target.port;
  }

  get allowed(): boolean {
    return this.#isAllowed;
  }

  get reason(): EgressReason | null {
    return this.#reason;
  }

  get bytesUp(): number {
    return this.#bytesUp;
  }

  get bytesDown(): number {
    return this.#bytesDown;
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

  /** Both sides are closed. */
  end(): void {
    this.#over.abort();
    this.#options.signal.removeEventListener("abort", this.#cut);
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
