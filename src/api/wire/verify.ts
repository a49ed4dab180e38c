/** The verifiable result of an ended batch: what third parties compare across servers. */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { batchStatuses } from "../../kernel/outcome.ts";
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
    results_hash: resultsHash(batch.batch_id, tasks),
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

/**
 * SHA-256 hex over: batch_id, then for each task in byte order of task_id: task_id, `1` only where passed is true (else
 * `0`), and the reward as 8 little-endian bytes of a double. From CONTRACT.md, `/verify/{id}`.
 */
export function resultsHash(
  batchId: string,
  tasks: readonly Pick<TaskSummaryRow, "task_id" | "passed" | "reward">[],
): string {
  const hash = createHash("sha256").update(batchId, "utf8");
  const ordered = tasks
    .map((task) => ({ task, key: Buffer.from(task.task_id, "utf8") }))
    .sort((a, b) => Buffer.compare(a.key, b.key));
  for (const { task, key } of ordered) {
    const reward = Buffer.alloc(8);
    reward.writeDoubleLE(task.reward);
    hash
      .update(key)
      .update(task.passed === true ? "1" : "0")
      .update(reward);
  }
  return hash.digest("hex");
}
