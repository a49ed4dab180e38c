/** The connections of a phase, counted by where they went and what became of them: bounded, whatever a sandbox tries. */
import type { Connection, EgressReason } from "./policy.ts";

export interface ConnectionCount {
  readonly host: string;
  readonly port: number;
  readonly allowed: boolean;
  readonly reason: EgressReason | null;
  readonly connections: number;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

/** Different lines that are kept; what comes after is counted in one line more. */
export const ledgerLinesMax = 100;
/** The host of that line. */
export const otherHosts = "(others)";

export class Ledger {
  readonly #lines = new Map<string, ConnectionCount>();
  /** let through, and perhaps still counting: the proxy bounds how many there can be */
  readonly #passed: Connection[] = [];

  add(connection: Connection): void {
    if (connection.reason === null) this.#passed.push(connection);
    else this.#enter(connection);
  }

  /** @returns what was told since the last call, in order of first appearance; of one that goes on: what it has done so far */
  take(): readonly ConnectionCount[] {
    for (const connection of this.#passed.splice(0)) this.#enter(connection);
    const lines = [...this.#lines.values()];
    this.#lines.clear();
    return lines;
  }

  #enter(connection: Connection): void {
    const { host, port, allowed, reason } = connection;
    const key = `${host} ${port} ${allowed} ${reason}`;
    const isKnown = this.#lines.has(key) || this.#lines.size < ledgerLinesMax;
    if (isKnown) this.#count(key, connection);
    else this.#count(`${otherHosts} ${allowed}`, { ...connection, host: otherHosts, port: 0, reason: null });
  }

  #count(key: string, { host, port, allowed, reason, bytesUp, bytesDown }: Connection): void {
    const old = this.#lines.get(key);
    this.#lines.set(key, {
      host,
      port,
      allowed,
      reason,
      connections: (old?.connections ?? 0) + 1,
      bytesUp: (old?.bytesUp ?? 0) + bytesUp,
      bytesDown: (old?.bytesDown ?? 0) + bytesDown,
    });
  }
}
