/** Queries on tasks and their attempts. */
import type { Selectable } from "kysely";
import type { Db } from "../port.ts";
import type { AttemptTable, TaskTable } from "../schema.ts";

export type TaskRow = Selectable<TaskTable>;
export type AttemptRow = Selectable<AttemptTable>;

/** Everything of a task but its result: what lists and snapshots show. */
export type TaskSummaryRow = Pick<
  TaskRow,
  "task_id" | "ordinal" | "status" | "passed" | "verdict" | "reason" | "reward" | "error" | "attempt" | "duration_ms"
>;

/** A batch's tasks in the order of the archive; `after` is the last ordinal of the page before. */
export async function listTasks(
  db: Db,
  batchId: string,
  page: { readonly after?: number | undefined; readonly limit?: number | undefined } = {},
): Promise<readonly TaskRow[]> {
  let query = db.selectFrom("tasks").selectAll().where("batch_id", "=", batchId).orderBy("ordinal");
  if (page.after !== undefined) query = query.where("ordinal", ">", page.after);
  if (page.limit !== undefined) query = query.limit(page.limit);
  return query.execute();
}

/** Like `listTasks`, without results: cheap for a thousand tasks. */
export async function listTaskSummaries(db: Db, batchId: string): Promise<readonly TaskSummaryRow[]> {
  return db
    .selectFrom("tasks")
    .select([
      "task_id",
      "ordinal",
      "status",
      "passed",
      "verdict",
      "reason",
      "reward",
      "error",
      "attempt",
      "duration_ms",
    ])
    .where("batch_id", "=", batchId)
    .orderBy("ordinal")
    .execute();
}

export async function findTask(db: Db, batchId: string, taskId: string): Promise<TaskRow | undefined> {
  return db
    .selectFrom("tasks")
    .selectAll()
    .where("batch_id", "=", batchId)
    .where("task_id", "=", taskId)
    .executeTakeFirst();
}

/** Attempts of one task, oldest first. */
export async function listAttempts(db: Db, batchId: string, taskId: string): Promise<readonly AttemptRow[]> {
  return db
    .selectFrom("attempts")
    .selectAll()
    .where("batch_id", "=", batchId)
    .where("task_id", "=", taskId)
    .orderBy("attempt")
    .execute();
}
