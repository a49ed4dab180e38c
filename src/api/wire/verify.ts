/** The verifiable result of an ended batch: what third parties compare across servers. */
import * as v from "valibot";
import { batchStatuses } from "../../kernel/outcome.ts";
import { resultsHash } from "../../scheduling/results-hash.ts";
import type { BatchRow } from "../../store/tables/batches.ts";
import type { TaskSummaryRow } from "../../store/tables/tasks.ts";
import { aggregateReward } from "./batch.ts";

export const verifyWire = v.object({
  batch_id: v.string(),
  status: v.picklist(batchStatuses),
  total_tasks: v.number(),
  passed_tasks: v.number(),
  failed_tasks: v.number(),
  aggregate_reward: v.number(),
  results_hash: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  task_summaries: v.array(
    v.object({
      task_id: v.string(),
      passed: v.nullable(v.boolean()),
      reward: v.number(),
      duration_ms: v.nullable(v.number()),
    }),
  ),
  executor_version: v.string(),
  uptime_secs: v.number(),
});

export interface Executor {
  readonly version: string;
  readonly uptimeMs: number;
}

export function verifyToWire(
  batch: BatchRow,
  tasks: readonly TaskSummaryRow[],
  executor: Executor,
): v.InferOutput<typeof verifyWire> {
  return {
    batch_id: batch.batch_id,
    status: batch.status,
    total_tasks: batch.total_tasks,
    passed_tasks: batch.passed_tasks,
    failed_tasks: batch.failed_tasks,
    aggregate_reward: aggregateReward(batch),
    results_hash: resultsHash(
      batch.batch_id,
      tasks.map(({ task_id, passed, reward }) => ({ taskId: task_id, passed, reward })),
    ),
    task_summaries: tasks.map((task) => ({
      task_id: task.task_id,
      passed: task.passed,
      reward: task.reward,
      duration_ms: task.duration_ms,
    })),
    executor_version: executor.version,
    uptime_secs: Math.floor(executor.uptimeMs / 1000),
  };
}
