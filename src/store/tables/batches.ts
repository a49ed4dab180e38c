/** Queries on batches. */
import { type Selectable, sql } from "kysely";
import type { Db } from "../port.ts";
import type { BatchTable } from "../schema.ts";

export type BatchRow = Selectable<BatchTable>;

/** @param id a well-formed UUID */
export async function findBatch(db: Db, id: string): Promise<BatchRow | undefined> {
  return db.selectFrom("batches").selectAll().where("batch_id", "=", id).executeTakeFirst();
}

/** Where a page of batches ended. */
export interface BatchCursor {
  readonly createdAt: Date;
  readonly batchId: string;
}

/** Batches, newest first; `before` is the last row of the page before. */
export async function listBatches(
  db: Db,
  page: { readonly limit: number; readonly before?: BatchCursor | undefined },
): Promise<readonly BatchRow[]> {
  let query = db
    .selectFrom("batches")
    .selectAll()
    .orderBy("created_at", "desc")
    .orderBy("batch_id", "desc")
    .limit(page.limit);
  const { before } = page;
  if (before !== undefined) {
    query = query.where(sql<boolean>`(created_at, batch_id) < (${before.createdAt}, ${before.batchId}::uuid)`);
  }
  return query.execute();
}

/** What /status and /metrics say of all batches ever opened; a ballot that never reached its quorum is not one. */
export interface BatchCounts {
  /** being read or running now */
  readonly active: number;
  readonly total: number;
  /** ran to their end, whatever their tasks got */
  readonly completed: number;
  /** tasks that have ended: passed + failed */
  readonly tasksTotal: number;
  readonly tasksPassed: number;
  /** ended without passing */
  readonly tasksFailed: number;
  /** over completed batches */
  readonly durationMsSum: number;
}

export async function batchCounts(db: Db): Promise<BatchCounts> {
  const row = await db
    .selectFrom("batches")
    .select([
      sql<number>`count(*) filter (where status in ('extracting', 'running'))::float8`.as("active"),
      sql<number>`count(*)::float8`.as("total"),
      sql<number>`count(*) filter (where status = 'completed')::float8`.as("completed"),
      sql<number>`coalesce(sum(completed_tasks), 0)::float8`.as("tasksTotal"),
      sql<number>`coalesce(sum(passed_tasks), 0)::float8`.as("tasksPassed"),
      sql<number>`coalesce(sum(failed_tasks), 0)::float8`.as("tasksFailed"),
      sql<number>`coalesce(sum(duration_ms) filter (where status = 'completed'), 0)::float8`.as("durationMsSum"),
    ])
    .where("opened_at", "is not", null)
    .executeTakeFirstOrThrow();
  return row;
}

/** Takes the row lock that orders everything that changes a batch: its journal, its counts, its status. */
export async function lockBatch(db: Db, id: string): Promise<BatchRow | undefined> {
  return db.selectFrom("batches").selectAll().where("batch_id", "=", id).forUpdate().executeTakeFirst();
}
