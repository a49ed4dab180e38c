/** Brings a database to the schema of this code, under PostgreSQL's advisory lock, in one transaction. */
import { type Kysely, sql } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import { AppError } from "../kernel/errors.ts";
import { migrations as released } from "./migrations/index.ts";
import type { NumberedMigration } from "./migrations/migration.ts";
import type { Tables } from "./schema.ts";

const MIGRATION_TABLE = "schema_migrations";

/**
 * Runs the migrations that this database has not seen; two processes at once take turns.
 * @throws AppError `invalid_config` where the database is newer than this code
 */
export async function migrate(
  db: Kysely<Tables>,
  migrations: readonly NumberedMigration[] = released,
): Promise<{ readonly applied: readonly string[] }> {
  const steps = new Map(migrations.map((step) => [nameOf(step), step]));
  await refuseNewer(db, [...steps.keys()]);
  const migrator = new Migrator({
    db,
    migrationTableName: MIGRATION_TABLE,
    migrationLockTableName: `${MIGRATION_TABLE}_lock`,
    provider: {
      getMigrations: async () => Object.fromEntries([...steps].map(([name, step]) => [name, runnable(step)])),
    },
  });
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
  return { applied: (results ?? []).map((result) => result.migrationName) };
}

/** `0001_initial`: what the migration table holds; sorts by number. */
function nameOf(step: NumberedMigration): string {
  return `${String(step.number).padStart(4, "0")}_${step.name}`;
}

function runnable(step: NumberedMigration): Migration {
  return {
    up: async (db) => {
      for (const statement of step.statements) await sql.raw(statement).execute(db);
    },
  };
}

async function refuseNewer(db: Kysely<Tables>, known: readonly string[]): Promise<void> {
  const { rows: found } = await sql<{ present: boolean }>`
    select to_regclass(${MIGRATION_TABLE}) is not null as present`.execute(db);
  if (found[0]?.present !== true) return;
  const { rows } = await sql<{ name: string }>`
    select name from ${sql.table(MIGRATION_TABLE)} order by name`.execute(db);
  const unknown = rows.map((row) => row.name).filter((name) => !known.includes(name));
  if (unknown.length === 0) return;
  throw new AppError(
    "invalid_config",
    `the database is newer than this server: it has migration ${unknown.at(-1)}, this server knows up to ` +
      `${known.at(-1) ?? "none"}; start a server of at least that version, or point it at another database`,
  );
}
