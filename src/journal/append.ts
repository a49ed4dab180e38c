/** Writing: numbering, chaining and storing events under the lock of their batch's row. */

import type { Clock } from "../kernel/clock.ts";
import { canonicalJson } from "../kernel/json.ts";
import type { Store, Tx } from "../store/port.ts";
import type { JournalTable } from "../store/schema.ts";
import type { Insertable } from "../store/sql.ts";
import { entryHash } from "./chain.ts";
import type { NewEvent } from "./events.ts";

/** Rows of one INSERT: far below the 65 535 parameters of a statement. */
const ROWS_PER_INSERT = 500;

/** Channel that says "this batch has new events"; the payload is the batch's id. */
export const JOURNAL_CHANNEL = "proctor_journal";

/** See Journal.append. @throws Error (a defect of the caller) where there is no such batch */
export async function appendEvents(
  store: Pick<Store, "notify">,
  clock: Clock,
  tx: Tx,
  batchId: string,
  events: readonly NewEvent[],
): Promise<number> {
  const head = await tx
    .selectFrom("batches")
    .select(["head_seq", "head_hash"])
    .where("batch_id", "=", batchId)
    .forUpdate()
    .executeTakeFirst();
  if (head === undefined) throw new Error(`no batch ${batchId} to journal for`);
  if (events.length === 0) return head.head_seq;

  const at = new Date(clock.now());
  let { head_seq: seq, head_hash: hash } = head;
  const rows = events.map(({ event, taskId, data }): Insertable<JournalTable> => {
    seq += 1;
    const entry = { seq, at, event, task_id: taskId ?? null, data: canonicalJson(data) };
    hash = entryHash(hash, entry);
    return { batch_id: batchId, ...entry, hash };
  });
  for (let start = 0; start < rows.length; start += ROWS_PER_INSERT) {
    await tx
      .insertInto("journal")
      .values(rows.slice(start, start + ROWS_PER_INSERT))
      .execute();
  }
  await tx
    .updateTable("batches")
    .set({ head_seq: seq, head_hash: hash, last_progress_at: at })
    .where("batch_id", "=", batchId)
    .execute();
  await store.notify(tx, JOURNAL_CHANNEL, batchId);
  return seq;
}
