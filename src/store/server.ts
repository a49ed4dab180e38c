/** A PostgreSQL server: a pool for queries, one dedicated connection for listening. */
import { PostgresDialect } from "kysely";
import pg from "pg";
import { type Backend, type JobsDatabase, ownsTransaction, type StoreLogger } from "./backend.ts";
import { translate } from "./errors.ts";
import { guardedDialect, TransactionScope } from "./guarded-dialect.ts";
import { ServerListener } from "./server-listener.ts";

const CONNECTIONS_MAX = 12;
const CONNECT_TIMEOUT_MS = 5_000;
/** A statement of ours takes milliseconds; one that takes this long waits for a lock that nobody gives back. */
const STATEMENT_TIMEOUT_MS = 60_000;
/** An answer that never comes, as from a host that is gone: later than the server's own limit. */
const QUERY_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 5_000;

/** Connects lazily: the first query says whether the server answers. */
export function openServer(databaseUrl: string, logger: StoreLogger | undefined): Backend {
  const connection: pg.ClientConfig = {
    connectionString: databaseUrl,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: "proctor",
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  };
  const pool = new pg.Pool({
    ...connection,
    max: CONNECTIONS_MAX,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
  });
  // An idle connection that breaks is replaced by the pool; without a listener its error would end the process.
  pool.on("error", (error) => logger?.warn({ err: error.message }, "idle database connection lost"));
  // So would that of one that breaks while it is lent out, between two queries of a transaction: the next query says it.
  pool.on("connect", (client) => client.on("error", () => undefined));
  const scope = new TransactionScope();
  const listener = new ServerListener(connection, logger);
  return {
    kind: "server",
    dialect: guardedDialect(new PostgresDialect({ pool }), { scope, single: false }),
    scope,
    jobs: { db: jobsDatabase(pool), backend: "postgres" },
    listen: (channel, onNotify, onGap) => listener.listen(channel, onNotify, onGap),
    async close() {
      await listener.close();
      if (!pool.ended && !pool.ending) await pool.end();
    },
  };
}

function jobsDatabase(pool: pg.Pool): JobsDatabase {
  return {
    async executeSql(text, values) {
      try {
        const client = await pool.connect();
        try {
          const result = (await client.query(text, values)) as pg.QueryResult | pg.QueryResult[];
          client.release();
          return { rows: Array.isArray(result) ? result.flatMap((each) => each.rows) : result.rows };
        } catch (error) {
          // A failed `BEGIN; …` text leaves its connection in an aborted transaction: such a one is thrown away.
          client.release(ownsTransaction(text) || translate(error) !== error);
          throw error;
        }
      } catch (error) {
        throw translate(error);
      }
    },
  };
}
