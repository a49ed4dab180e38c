/** What `open.ts` needs of a database, whichever of the two it is. */
import type { Dialect } from "kysely";
import type { TransactionScope } from "./guarded-dialect.ts";

/** The part of pino that this room writes to. */
export interface StoreLogger {
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
}

/** pg-boss's `IDatabase`, spelt here so that this room doesn't import the queue. */
export interface JobsDatabase {
  executeSql(text: string, values?: unknown[]): Promise<{ rows: unknown[] }>;
}

export interface Backend {
  readonly kind: "embedded" | "server";
  readonly dialect: Dialect;
  readonly scope: TransactionScope;
  readonly jobs: { readonly db: JobsDatabase; readonly backend: "pglite" | "postgres" };
  /** See Store.listen. */
  listen(channel: string, onNotify: (payload: string) => void, onGap: () => void): Promise<() => Promise<void>>;
  /** Ends listeners and connections; the dialect's own are ended by Kysely before. */
  close(): Promise<void>;
}

/** LISTEN takes an identifier, not a parameter: names are ours and plain, and are checked all the same. */
export function checkChannel(channel: string): string {
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(channel)) {
    throw new Error(`channel ${JSON.stringify(channel)} must be 1–63 characters of a–z, 0–9 and _`);
  }
  return channel;
}

/**
 * Whether a text of the queue opens a transaction of its own (`BEGIN; …; COMMIT;`). One that fails half-way leaves its
 * connection inside an aborted transaction, which the next user of that connection must not meet.
 */
export function ownsTransaction(text: string): boolean {
  return /(^|;)\s*begin\b/i.test(text);
}
