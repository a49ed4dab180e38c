/** Ending a batch before its tasks have ended by themselves: cancelled, out of time, or never able to run. */

import type { NewEvent } from "../journal/events.ts";
import { sql } from "../store/sql.ts";
import { lockBatch } from "../store/tables/batches.ts";
import { taskComplete } from "./attempts.ts";
import { advanceBatch } from "./batch-state.ts";
import type { Core } from "./core.ts";
import { finishBatch } from "./finish-batch.ts";
import { advance, runningStatuses, type TaskCommand } from "./task-state.ts";

export interface EarlyEnd {
  /** expire: no progress · cancel: somebody asked · fail: it could not be run at all */
  readonly kind: "expire" | "cancel" | "fail";
  /** what the batch says, e.g. `session_expired` */
  readonly batchError: string | null;
  /** what each unfinished task says */
  readonly taskError: string;
}

/**
 * Ends a batch's unfinished tasks and the batch, in one transaction.
 * @returns false where the batch is unknown, not opened, or has ended already
 */
export async function endEarly(core: Core, batchId: string, end: EarlyEnd): Promise<boolean> {
  return core.store.transaction(async (tx) => {
    const batch = await lockBatch(tx, batchId);
    if (batch === undefined || batch.opened_at === null) return false;
    const status = advanceBatch(batch.status, end.kind);
    if (status === undefined) return false;
    const tasks = await tx
      .selectFrom("tasks")
      .select(["task_id", "status", "attempt", "job_id"])
      .where("batch_id", "=", batchId)
      .where("status", "in", ["queued", ...runningStatuses])
      .orderBy("ordinal")
      .execute();
    const command: TaskCommand = { kind: end.kind === "cancel" ? "cancel" : "expire", error: end.taskError };
    const events: NewEvent[] = [];
    for (const task of tasks) {
      const step = advance(task, command);
      if (step?.ending != null) events.push(taskComplete(task.task_id, step.next.status, step.ending));
    }
    const now = new Date(core.clock.now());
    await tx
      .updateTable("tasks")
      .set({
        status: end.kind === "cancel" ? "cancelled" : "failed",
        verdict: "inconclusive",
        passed: null,
        reason: end.kind === "cancel" ? "cancelled" : "infra_error",
        reward: 0,
        error: end.taskError,
        job_id: null,
        finished_at: now,
      })
      .where("batch_id", "=", batchId)
      .where("status", "in", ["queued", ...runningStatuses])
      .execute();
    await tx
      .updateTable("attempts")
      .set({ state: "lost", ended_at: now, fault: sql`coalesce(fault, ${end.batchError ?? end.kind})` })
      .where("batch_id", "=", batchId)
      .where("state", "=", "running")
      .execute();
    await core.queue.remove(
      tx,
      tasks.flatMap((task) => (task.job_id === null ? [] : [task.job_id])),
    );
    await finishBatch(core, tx, batch, { status, error: end.batchError }, events);
    return true;
  });
}
