/** Opens the store: takes the DATA_DIR, connects, brings the schema up to date. */
import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Kysely, sql } from "kysely";
import type { Backend, StoreLogger } from "./backend.ts";
import { type DataLock, lockDataDir } from "./data-lock.ts";
import { openEmbedded } from "./embedded.ts";
import { isConflict, translate } from "./errors.ts";
import { migrate } from "./migrate.ts";
import type { Db, Store, Tx } from "./port.ts";
import type { Tables } from "./schema.ts";
import { openServer } from "./server.ts";

const TRANSACTION_TRIES = 4;
const NOTIFY_BYTES_MAX = 7_000;

export interface StoreOptions {
  /** PostgreSQL server; undefined or empty: the embedded store */
  readonly databaseUrl?: string | undefined;
  /** folder that this process owns from now on; undefined: nothing on disk (tests) */
  readonly dataDir?: string | undefined;
  readonly logger?: StoreLogger | undefined;
}

/**
 * @throws AppError `data_dir_locked`, `store_unavailable`, or `invalid_config` (database newer than this code)
 */
export async function openStore(options: StoreOptions = {}): Promise<Store> {
  const dataDir = options.dataDir === undefined ? undefined : resolve(options.dataDir);
  const lock = dataDir === undefined ? undefined : await lockDataDir(dataDir);
  let backend: Backend | undefined;
  try {
    backend =
      options.databaseUrl === undefined || options.databaseUrl === ""
        ? await openEmbedded(dataDir === undefined ? undefined : join(dataDir, "store"))
        : openServer(options.databaseUrl, options.logger);
    const db = new Kysely<Tables>({ dialect: backend.dialect });
    const { applied } = await migrate(db);
    if (applied.length > 0) options.logger?.info({ applied }, "database migrated");
    const owner = dataDir === undefined ? randomUUID() : await ownerId(dataDir);
    return storeOf(db, backend, lock, owner);
  } catch (error) {
    await backend?.close().catch(() => undefined);
    await lock?.release();
    throw translate(error);
  }
}

/** Minted once for each DATA_DIR; the lock is held, so nobody else writes it. */
async function ownerId(dataDir: string): Promise<string> {
  const path = join(dataDir, "owner");
  const kept = await readFile(path, "utf8").catch(() => "");
  if (/^[0-9a-f-]{36}$/.test(kept)) return kept;
  const minted = randomUUID();
  await writeFile(path, minted, { mode: 0o600, flush: true });
  return minted;
}

function storeOf(db: Kysely<Tables>, backend: Backend, lock: DataLock | undefined, owner: string): Store {
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= (async () => {
      await backend.close();
      await lock?.release();
    })();
    return closing;
  };
  return {
    db,
    kind: backend.kind,
    owner,
    jobs: { options: backend.jobs },
    transaction: (work) => runTransaction(db, backend, work),
    async notify(target: Db, channel: string, payload: string) {
      if (Buffer.byteLength(payload) > NOTIFY_BYTES_MAX) {
        throw new Error(`notification of ${Buffer.byteLength(payload)} bytes is above ${NOTIFY_BYTES_MAX}`);
      }
      await sql`select pg_notify(${channel}, ${payload})`.execute(target);
    },
    listen: (channel, onNotify, onGap) => backend.listen(channel, onNotify, onGap),
    async ping() {
      await sql`select 1`.execute(db);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function runTransaction<T>(db: Kysely<Tables>, backend: Backend, work: (tx: Tx) => Promise<T>): Promise<T> {
  backend.scope.assertOutside();
  for (let attempt = 1; ; attempt++) {
    try {
      return await db.transaction().execute((tx) => backend.scope.run(() => work(tx)));
    } catch (error) {
      if (!isConflict(error) || attempt >= TRANSACTION_TRIES) throw translate(error);
    }
  }
}
