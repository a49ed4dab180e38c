/** Reading: stored rows to events. */
import type { Db } from "../store/port.ts";
import type { EventName, JournalEvent } from "./events.ts";

/** See Journal.read. */
export async function readEvents(
  db: Db,
  batchId: string,
  since: number,
  limitCount: number,
): Promise<readonly JournalEvent[]> {
  const rows = await db
    .selectFrom("journal")
    .select(["batch_id", "seq", "at", "event", "task_id", "data"])
    .where("batch_id", "=", batchId)
    .where("seq", ">", since)
    .orderBy("seq")
    .limit(limitCount)
    .execute();
  return rows.map((row) => ({
    batchId: row.batch_id,
    seq: row.seq,
    at: row.at,
    event: row.event as EventName,
    taskId: row.task_id,
    data: JSON.parse(row.data) as JournalEvent["data"],
  }));
}

/** Whether nothing can happen to a batch any more; an unknown batch counts as ended. */
export async function hasEnded(db: Db, batchId: string): Promise<boolean> {
  const row = await db.selectFrom("batches").select("status").where("batch_id", "=", batchId).executeTakeFirst();
  return row === undefined || row.status === "completed" || row.status === "failed" || row.status === "cancelled";
}
