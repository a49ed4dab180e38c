/**
 * One builder per key, however many wait. The work runs under a signal of its own, which aborts only when every caller
 * has gone away, so that one cancelled attempt doesn't take an environment from the others.
 */
interface Flight<T, L> {
  readonly result: Promise<T>;
  readonly listeners: Set<L>;
  readonly abort: AbortController;
}

/** What the work is given: its signal, and everyone who waits just now. */
export interface FlightContext<L> {
  readonly signal: AbortSignal;
  readonly listeners: ReadonlySet<L>;
}

export class SingleFlight<T, L> {
  readonly #flights = new Map<string, Flight<T, L>>();

  /**
   * Joins the flight of `key`, or starts it with `work`. Rejects with the signal's reason as soon as `signal` aborts.
   * @returns the flight's result and whether this caller started it
   */
  async run(
    key: string,
    listener: L,
    signal: AbortSignal,
    work: (context: FlightContext<L>) => Promise<T>,
  ): Promise<{ readonly value: T; readonly started: boolean }> {
    signal.throwIfAborted();
    const found = this.#flights.get(key);
    const flight = found ?? this.#start(key, work);
    flight.listeners.add(listener);
    try {
      return { value: await untilAborted(flight.result, signal), started: found === undefined };
    } finally {
      flight.listeners.delete(listener);
      if (flight.listeners.size === 0) {
        // A later caller starts afresh instead of joining work that is being ended.
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.abort.abort(signal.reason);
        // Whoever cancelled may count on it that nothing of the work is left when the rejection arrives.
        await flight.result.catch(() => {});
      }
    }
  }

  #start(key: string, work: (context: FlightContext<L>) => Promise<T>): Flight<T, L> {
    const abort = new AbortController();
    const listeners = new Set<L>();
    const result = Promise.resolve().then(() => work({ signal: abort.signal, listeners }));
    const flight: Flight<T, L> = { result, listeners, abort };
    this.#flights.set(key, flight);
    const forget = () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    result.then(forget, forget);
    return flight;
  }
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
