/**
 * The store port. One SQL dialect (PostgreSQL), one code path: a server by DATABASE_URL, or PostgreSQL embedded in this
 * process under DATA_DIR. Every function of `tables/` takes a `Db`, so that a caller composes them in one transaction.
 */
import type { Kysely, Transaction } from "kysely";
import type { Tables } from "./schema.ts";

/** A connection or an open transaction. */
export type Db = Kysely<Tables> | Transaction<Tables>;
export type Tx = Transaction<Tables>;

export interface Store extends AsyncDisposable {
  readonly db: Kysely<Tables>;
  readonly kind: "embedded" | "server";
  /** Stable id of this process's DATA_DIR: whose attempts a restart may take back. */
  readonly owner: string;
  /** Runs `work` in one transaction; retried from the start on a serialization failure or deadlock (3 times). */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** Tells listeners of `channel`, on every node, when the transaction commits. `payload` ≤ 7 000 bytes. */
  notify(db: Db, channel: string, payload: string): Promise<void>;
  /** Calls back on every notification; after a lost connection calls `onGap` once it listens again. @returns stop */
  listen(channel: string, onNotify: (payload: string) => void, onGap: () => void): Promise<() => Promise<void>>;
  /** Options for pg-boss so that it uses this very store. */
  readonly jobs: { readonly options: Readonly<Record<string, unknown>> };
  /** Resolves when the store answers. @throws AppError `store_unavailable` */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Kept bytes by content, written once. Files under DATA_DIR for one machine; a fleet may put them elsewhere. */
export interface BlobStore {
  /** @returns the digest of `bytes`, kept durably (synced) when this resolves */
  put(bytes: Buffer | string): Promise<string>;
  /** Takes over a finished file of known digest (moved, or copied across devices); keeps one copy per digest. */
  adopt(path: string, digest: string): Promise<void>;
  /** @returns undefined where there is no such blob */
  get(digest: string): Promise<Buffer | undefined>;
  /** @throws AppError `not_found` where there is no such blob */
  stream(digest: string): Promise<import("node:stream").Readable>;
  /** local path for readers that need random access (zip); read-only */
  path(digest: string): string;
  has(digest: string): Promise<boolean>;
  remove(digest: string): Promise<void>;
}
