/**
 * PostgreSQL embedded in this process (PGlite): one connection, shared by our queries, by the queue's and by listeners.
 *
 * PGlite's transaction mutex is what keeps them apart: `query`, `exec` and `transaction` take it, so a statement of the
 * queue waits for an open transaction of ours instead of joining it. Two cases need more than the mutex:
 * - the queue's own `BEGIN; …; COMMIT;` texts: run inside PGlite's transaction mode, so that a failure is rolled back
 *   before the mutex is free, and a ROLLBACK sent afterwards can't hit a transaction of ours;
 * - a BEGIN that fails (store closed): Kysely's driver waits for the body to start, which never comes; the body is
 *   started with a connection that reports the failure.
 */
import { mkdir } from "node:fs/promises";
import { PGlite, type Transaction } from "@electric-sql/pglite";
import { PGliteDialect } from "kysely";
import { type Backend, checkChannel, type JobsDatabase, ownsTransaction } from "./backend.ts";
import { translate } from "./errors.ts";
import { guardedDialect, TransactionScope } from "./guarded-dialect.ts";

/** @param folder of the database's files; undefined: in memory, gone with the process */
export async function openEmbedded(folder: string | undefined): Promise<Backend> {
  if (folder !== undefined) await mkdir(folder, { recursive: true, mode: 0o700 });
  const startParams = folder === undefined ? undefined : durableStartParams();
  const pglite = await PGlite.create({
    ...(folder === undefined ? {} : { dataDir: folder }),
    ...(startParams === undefined ? {} : { startParams }),
  });
  const scope = new TransactionScope();
  const dialect = guardedDialect(new PGliteDialect({ pglite: startSafely(pglite) }), { scope, single: true });
  return {
    kind: "embedded",
    dialect,
    scope,
    jobs: { db: jobsDatabase(pglite), backend: "pglite" },
    async listen(channel, onNotify) {
      // The callback runs inside the commit that notified, in its caller's context: leave both first.
      const stop = await pglite.listen(checkChannel(channel), (payload) => {
        scope.outside(() => setImmediate(onNotify, payload));
      });
      return async () => {
        if (!pglite.closed) await stop();
      };
    },
    async close() {
      if (!pglite.closed) await pglite.close();
    },
  };
}

/**
 * PGlite starts PostgreSQL with `-F` (no fsync), and its file system knows no fsync at all. Opening the write-ahead log
 * for synchronous writes is what reaches the disk: a commit that was answered is found again after a power failure.
 */
function durableStartParams(): string[] {
  return [...PGlite.defaultStartParams.filter((param) => param !== "-F"), "-c", "wal_sync_method=open_datasync"];
}

type KyselyPGlite = Exclude<ConstructorParameters<typeof PGliteDialect>[0]["pglite"], (...args: never[]) => unknown>;

function startSafely(pglite: PGlite): KyselyPGlite {
  return {
    get closed() {
      return pglite.closed;
    },
    get ready() {
      return pglite.ready;
    },
    waitReady: pglite.waitReady,
    close: () => pglite.close(),
    query: (text, params, options) => pglite.query(text, params, options),
    async transaction(callback) {
      let begun = false;
      try {
        return await pglite.transaction((tx) => {
          begun = true;
          return callback(tx);
        });
      } catch (error) {
        if (begun) throw error;
        const refuse = () => Promise.reject(error);
        await callback({ query: refuse, rollback: async () => {} });
        throw error;
      }
    },
  };
}

function jobsDatabase(pglite: PGlite): JobsDatabase {
  const run = async (text: string, values?: unknown[]) => {
    if (values !== undefined && values.length > 0) return pglite.query<unknown>(text, values);
    if (!ownsTransaction(text)) return flatten(await pglite.exec(text));
    return pglite.transaction(async (tx: Transaction) => flatten(await tx.exec(text)));
  };
  return {
    async executeSql(text, values) {
      try {
        return { rows: [...(await run(text, values)).rows] };
      } catch (error) {
        throw translate(error);
      }
    },
  };
}

/** Rows of all statements of a text: a RETURNING in the middle isn't hidden by the COMMIT behind it. */
function flatten(results: readonly { rows: unknown[] }[]): { rows: unknown[] } {
  return { rows: results.flatMap((result) => result.rows) };
}
