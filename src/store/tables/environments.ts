/** Queries on kept environments: images of a repository at a commit with its dependencies, by content key. */
import type { Insertable, Selectable } from "kysely";
import type { Db } from "../port.ts";
import type { EnvironmentTable } from "../schema.ts";

export type EnvironmentRow = Selectable<EnvironmentTable>;
export type NewEnvironment = Insertable<EnvironmentTable>;

export async function findEnvironment(db: Db, key: string): Promise<EnvironmentRow | undefined> {
  return db.selectFrom("environments").selectAll().where("key", "=", key).executeTakeFirst();
}

/** Records an environment; a newer one of the same key replaces it. */
export async function putEnvironment(db: Db, environment: NewEnvironment): Promise<void> {
  const { key: _, ...rest } = environment;
  await db
    .insertInto("environments")
    .values(environment)
    .onConflict((conflict) => conflict.column("key").doUpdateSet(rest))
    .execute();
}

export async function touchEnvironment(db: Db, key: string, at: Date): Promise<void> {
  await db.updateTable("environments").set({ last_used_at: at }).where("key", "=", key).execute();
}

/** Kept environments, least recently used first. */
export async function listEnvironments(db: Db, limit: number): Promise<readonly EnvironmentRow[]> {
  return db.selectFrom("environments").selectAll().orderBy("last_used_at").orderBy("key").limit(limit).execute();
}

/** @returns whether it was there */
export async function deleteEnvironment(db: Db, key: string): Promise<boolean> {
  const result = await db.deleteFrom("environments").where("key", "=", key).executeTakeFirst();
  return result.numDeletedRows > 0n;
}
