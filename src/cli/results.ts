/** The table at the end of a batch: task, verdict, reward, time per phase. */
import { phases } from "../kernel/outcome.ts";
import { getJson, type Server } from "./client/http.ts";
import { batchWire, type TaskState, taskWire } from "./client/wire.ts";
import { harmlessLine, table } from "./terminal.ts";

export interface BatchResult {
  readonly status: string;
  readonly error: string | null;
  readonly aggregateReward: number;
  readonly tasks: readonly TaskState[];
}

/** Reads a batch and each of its tasks. @throws CliError `refused` or `unreachable` */
export async function readResults(server: Server, batchId: string, signal?: AbortSignal): Promise<BatchResult> {
  const batch = await getJson(server, `/batch/${batchId}`, batchWire, signal);
  const tasks: TaskState[] = [];
  for (const { task_id } of batch.tasks) {
    tasks.push(await getJson(server, `/batch/${batchId}/task/${encodeURIComponent(task_id)}`, taskWire, signal));
  }
  tasks.sort((a, b) => (a.task_id < b.task_id ? -1 : 1));
  return { status: batch.status, error: batch.error, aggregateReward: batch.aggregate_reward, tasks };
}

/** The results as an aligned table. A phase that a kept environment spared is marked `kept`. */
export function resultsTable(tasks: readonly TaskState[]): string {
  const rows = tasks.map((task) => [
    harmlessLine(task.task_id, 60),
    harmlessLine(verdictText(task), 40),
    task.reward.toFixed(2),
    ...phases.map((name) => {
      const record = task.phases.find(({ phase }) => phase === name);
      if (record === undefined) return "–";
      return record.cached ? "kept" : `${(record.duration_ms / 1000).toFixed(2)} s`;
    }),
  ]);
  return table([["task", "verdict", "reward", ...phases], ...rows], new Set([2, 3, 4, 5, 6]));
}

function verdictText(task: TaskState): string {
  const verdict = task.verdict ?? (task.passed === true ? "passed" : task.passed === false ? "failed" : "inconclusive");
  return task.reason === null || task.reason === undefined ? verdict : `${verdict} (${task.reason})`;
}
