/** Batches on the wire: `/batch/{id}`, `/batches`, and the data of a snapshot. */
import * as v from "valibot";
import { batchStatuses, reasons, taskStatuses, verdicts } from "../../kernel/outcome.ts";
import type { BatchRow } from "../../store/tables/batches.ts";
import type { TaskSummaryRow } from "../../store/tables/tasks.ts";

export const taskSummaryWire = v.object({
  task_id: v.string(),
  status: v.picklist(taskStatuses),
  passed: v.nullable(v.boolean()),
  reward: v.number(),
  verdict: v.nullable(v.picklist(verdicts)),
  reason: v.nullable(v.picklist(reasons)),
  error: v.nullable(v.string()),
  duration_ms: v.nullable(v.number()),
});
export type TaskSummaryWire = v.InferOutput<typeof taskSummaryWire>;

const batchState = {
  status: v.picklist(batchStatuses),
  total_tasks: v.number(),
  completed_tasks: v.number(),
  passed_tasks: v.number(),
  failed_tasks: v.number(),
  aggregate_reward: v.number(),
};

export const batchWire = v.object({
  batch_id: v.string(),
  ...batchState,
  error: v.nullable(v.string()),
  duration_ms: v.nullable(v.number()),
  concurrent_tasks: v.number(),
  archive_hash: v.string(),
  created_at: v.string(),
  started_at: v.nullable(v.string()),
  finished_at: v.nullable(v.string()),
  tasks: v.array(taskSummaryWire),
});
export type BatchWire = v.InferOutput<typeof batchWire>;

export const snapshotWire = v.object({
  ...batchState,
  error: v.nullable(v.string()),
  tasks: v.array(taskSummaryWire),
});
export type SnapshotWire = v.InferOutput<typeof snapshotWire>;

export const batchListWire = v.array(
  v.object({ batch_id: v.string(), created_at: v.string(), status: v.picklist(batchStatuses) }),
);
export type BatchListWire = v.InferOutput<typeof batchListWire>;

/** Whether nothing more will happen to a batch. */
export function hasEnded(batch: Pick<BatchRow, "status">): boolean {
  return batch.status === "completed" || batch.status === "failed" || batch.status === "cancelled";
}

/** Sum of rewards / total tasks in [0, 1]; 0 until the end. */
export function aggregateReward(batch: BatchRow): number {
  return hasEnded(batch) && batch.total_tasks > 0 ? batch.reward_sum / batch.total_tasks : 0;
}

export function batchToWire(batch: BatchRow, tasks: readonly TaskSummaryRow[]): BatchWire {
  return {
    batch_id: batch.batch_id,
    ...stateToWire(batch),
    error: batch.error,
    duration_ms: batch.duration_ms,
    concurrent_tasks: batch.concurrent_tasks,
    archive_hash: batch.archive_digest,
    created_at: batch.created_at.toISOString(),
    started_at: batch.started_at?.toISOString() ?? null,
    finished_at: batch.finished_at?.toISOString() ?? null,
    tasks: tasks.map(taskSummaryToWire),
  };
}

export function snapshotToWire(batch: BatchRow, tasks: readonly TaskSummaryRow[]): SnapshotWire {
  return { ...stateToWire(batch), error: batch.error, tasks: tasks.map(taskSummaryToWire) };
}

export function batchListToWire(batches: readonly BatchRow[]): BatchListWire {
  return batches.map(({ batch_id, created_at, status }) => ({
    batch_id,
    created_at: created_at.toISOString(),
    status,
  }));
}

export function taskSummaryToWire(task: TaskSummaryRow): TaskSummaryWire {
  return {
    task_id: task.task_id,
    status: task.status,
    passed: task.passed,
    reward: task.reward,
    verdict: task.verdict,
    reason: task.reason,
    error: task.error,
    duration_ms: task.duration_ms,
  };
}

function stateToWire(batch: BatchRow) {
  return {
    status: batch.status,
    total_tasks: batch.total_tasks,
    completed_tasks: batch.completed_tasks,
    passed_tasks: batch.passed_tasks,
    failed_tasks: batch.failed_tasks,
    aggregate_reward: aggregateReward(batch),
  };
}
