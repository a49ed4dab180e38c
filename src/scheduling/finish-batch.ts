/** Ending a batch, inside the transaction that ended its last task or that ends it as a whole. */
import type { NewEvent } from "../journal/events.ts";
import type { BatchStatus } from "../kernel/outcome.ts";
import type { Tx } from "../store/port.ts";
import type { BatchRow } from "../store/tables/batches.ts";
import { type Core, SCHEDULING_CHANNEL } from "./core.ts";
import { resultsHash } from "./results-hash.ts";

export interface BatchEnding {
  readonly status: BatchStatus;
  readonly error: string | null;
}

/**
 * Counts the results, binds them with their hash, ends the batch and says so in the journal. Every task has ended.
 * @param events what is journaled before `batch_complete`, in the same order
 */
export async function finishBatch(
  core: Core,
  tx: Tx,
  batch: BatchRow,
  ending: BatchEnding,
  events: readonly NewEvent[],
): Promise<void> {
  const rows = await tx
    .selectFrom("tasks")
    .select(["task_id", "passed", "reward"])
    .where("batch_id", "=", batch.batch_id)
    .orderBy("ordinal")
    .execute();
  const total = rows.length;
  const passed = rows.filter((row) => row.passed === true).length;
  const rewardSum = rows.reduce((sum, row) => sum + row.reward, 0);
  const durationMs = core.timers.elapsedMs(batch.batch_id, batch.started_at);
  await tx
    .updateTable("batches")
    .set({
      status: ending.status,
      error: ending.error,
      completed_tasks: total,
      passed_tasks: passed,
      failed_tasks: total - passed,
      reward_sum: rewardSum,
      results_hash: resultsHash(
        batch.batch_id,
        rows.map((row) => ({ taskId: row.task_id, passed: row.passed, reward: row.reward })),
      ),
      duration_ms: durationMs,
      finished_at: new Date(core.clock.now()),
    })
    .where("batch_id", "=", batch.batch_id)
    .execute();
  await core.journal.append(tx, batch.batch_id, [
    ...events,
    {
      event: "batch_complete",
      data: {
        status: ending.status,
        total,
        passed,
        failed: total - passed,
        reward: total === 0 ? 0 : rewardSum / total,
        duration_ms: durationMs,
        ...(ending.error === null ? {} : { error: ending.error }),
      },
    },
  ]);
  await core.store.notify(tx, SCHEDULING_CHANNEL, "");
}
