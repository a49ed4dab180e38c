/**
 * Fair order of claims over batches: start-time fair queueing. Each task has a tag; the smallest goes first. A batch's
 * tasks have consecutive tags from its base, and a batch that begins gets the tag of the present moment as its base:
 * from then on it and the older ones advance task by task. So one task beside a batch of a thousand is next, a
 * thousand tasks don't wait for another thousand, and nobody overtakes what has waited longer for ever.
 */

import type { Tx } from "../store/port.ts";
import { sql } from "../store/sql.ts";
import { runningStatuses } from "./task-state.ts";

/**
 * Tag of the present moment: the smallest that waits for its first attempt; when none waits, one above the largest that
 * runs; 0 when nothing is going on. Retries keep their old, small tag and don't turn the clock back.
 */
export async function presentTag(tx: Tx): Promise<number> {
  const row = await tx
    .selectFrom("tasks")
    .innerJoin("batches", "batches.batch_id", "tasks.batch_id")
    .select([
      sql<number | null>`min(claim_base + ordinal) filter (where tasks.status = 'queued' and attempt = 0)`.as(
        "waiting",
      ),
      sql<number | null>`max(claim_base + ordinal) filter (where tasks.status <> 'queued')`.as("running"),
    ])
    .where("batches.status", "=", "running")
    .where("tasks.status", "in", ["queued", ...runningStatuses])
    .executeTakeFirst();
  return row?.waiting ?? (row?.running == null ? 0 : row.running + 1);
}
