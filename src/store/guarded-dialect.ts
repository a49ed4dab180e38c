/**
 * A Kysely dialect with three promises added, the same for both databases:
 * - every error of the platform is an AppError wherever the query was made (errors.ts);
 * - a query outside the open transaction of the same caller is refused at once. On the embedded store it would wait for
 *   a connection that its own caller holds, for ever; on a server it would quietly not be part of the transaction;
 * - a single-connection database is handed to one holder at a time.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { DatabaseConnection, Dialect, DialectAdapter, Driver } from "kysely";
import { translate } from "./errors.ts";

/** Knows whether the current caller is inside a transaction of this store. */
export class TransactionScope {
  readonly #current = new AsyncLocalStorage<{ open: boolean }>();

  /** Runs the body of a transaction. Work that it leaves behind may use the store again once it has ended. */
  async run<T>(body: () => Promise<T>): Promise<T> {
    const scope = { open: true };
    try {
      return await this.#current.run(scope, body);
    } finally {
      scope.open = false;
    }
  }

  /** @throws Error (a defect of the caller) inside an open transaction */
  assertOutside(): void {
    if (this.#current.getStore()?.open === true) {
      throw new Error("store used inside an open transaction; pass the transaction itself to the query");
    }
  }

  /** Runs `callback` as if no transaction was open: for listeners that a commit calls. */
  outside<T>(callback: () => T): T {
    return this.#current.exit(callback);
  }
}

export interface GuardOptions {
  readonly scope: TransactionScope;
  /** one connection that all callers share */
  readonly single: boolean;
}

export function guardedDialect(inner: Dialect, options: GuardOptions): Dialect {
  return {
    createAdapter: () => multiConnectionAdapter(inner.createAdapter()),
    createDriver: () => guardedDriver(inner.createDriver(), options),
    createIntrospector: (db) => inner.createIntrospector(db),
    createQueryCompiler: () => inner.createQueryCompiler(),
  };
}

/** Kysely's own mutex would be taken before our check could refuse; ours is taken after it. */
function multiConnectionAdapter(adapter: DialectAdapter): DialectAdapter {
  return Object.defineProperty(adapter, "supportsMultipleConnections", { value: true });
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw translate(error);
  }
}

function guardedDriver(inner: Driver, { scope, single }: GuardOptions): Driver {
  const mutex = single ? new Mutex() : undefined;
  const seen = new WeakSet<DatabaseConnection>();

  const guardQueries = (connection: DatabaseConnection): void => {
    if (seen.has(connection)) return;
    seen.add(connection);
    const { executeQuery } = connection;
    connection.executeQuery = (query, options) =>
      translated(() => executeQuery.call(connection, query, options)) as never;
  };

  const driver: Driver = {
    init: (options) => translated(() => inner.init(options)),
    async acquireConnection(options) {
      scope.assertOutside();
      await mutex?.lock();
      try {
        const connection = await translated(() => inner.acquireConnection(options));
        guardQueries(connection);
        return connection;
      } catch (error) {
        mutex?.unlock();
        throw error;
      }
    },
    beginTransaction: (connection, settings) => translated(() => inner.beginTransaction(connection, settings)),
    commitTransaction: (connection) => translated(() => inner.commitTransaction(connection)),
    rollbackTransaction: (connection) => translated(() => inner.rollbackTransaction(connection)),
    async releaseConnection(connection, options) {
      try {
        await inner.releaseConnection(connection, options);
      } finally {
        mutex?.unlock();
      }
    },
    destroy: (options) => inner.destroy(options),
  };
  return driver;
}

/** First come, first served. */
class Mutex {
  #held = false;
  readonly #waiting: (() => void)[] = [];

  async lock(): Promise<void> {
    if (!this.#held) {
      this.#held = true;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  unlock(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#held = false;
    else next();
  }
}
