/** Queries on the sanity of tasks: whether a task, in an environment, tells a solution from none. */
import type { Insertable, Selectable } from "kysely";
import type { Db } from "../port.ts";
import type { SanityTable } from "../schema.ts";

export type SanityRow = Selectable<SanityTable>;
export type NewSanity = Insertable<SanityTable>;

export async function findSanity(db: Db, environmentKey: string, taskDigest: string): Promise<SanityRow | undefined> {
  return db
    .selectFrom("sanity")
    .selectAll()
    .where("environment_key", "=", environmentKey)
    .where("task_digest", "=", taskDigest)
    .executeTakeFirst();
}

/** Records what was found; a newer finding replaces an older one. */
export async function putSanity(db: Db, row: NewSanity): Promise<void> {
  const { environment_key: _, task_digest: __, ...rest } = row;
  await db
    .insertInto("sanity")
    .values(row)
    .onConflict((conflict) => conflict.columns(["environment_key", "task_digest"]).doUpdateSet(rest))
    .execute();
}

/** Forgets everything that was found in an environment. */
export async function deleteSanityOf(db: Db, environmentKey: string): Promise<void> {
  await db.deleteFrom("sanity").where("environment_key", "=", environmentKey).execute();
}
