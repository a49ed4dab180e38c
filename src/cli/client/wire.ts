/** What the client reads of a server's answers. Lenient: a newer server may say more, or know statuses we don't. */
import * as v from "valibot";

export const instanceWire = v.looseObject({ audience: v.string(), version: v.optional(v.string(), "?") });

export const acceptedWire = v.looseObject({
  batch_id: v.pipe(v.string(), v.regex(/^[0-9a-f-]{36}$/)),
  status: v.optional(v.string()),
  archive_hash: v.string(),
  votes: v.number(),
  required: v.number(),
  total_validators: v.number(),
  total_tasks: v.number(),
  consensus_reached: v.optional(v.boolean(), false),
  note: v.optional(v.string()),
});
export type Accepted = v.InferOutput<typeof acceptedWire>;

export const taskSummary = v.looseObject({
  task_id: v.string(),
  status: v.string(),
  passed: v.nullable(v.boolean()),
  reward: v.number(),
  verdict: v.optional(v.nullable(v.string()), null),
  reason: v.optional(v.nullable(v.string()), null),
  error: v.optional(v.nullable(v.string()), null),
});

export const batchWire = v.looseObject({
  batch_id: v.string(),
  status: v.string(),
  total_tasks: v.number(),
  completed_tasks: v.number(),
  aggregate_reward: v.number(),
  error: v.optional(v.nullable(v.string()), null),
  tasks: v.optional(v.array(taskSummary), []),
});
export type BatchState = v.InferOutput<typeof batchWire>;

export const taskWire = v.looseObject({
  ...taskSummary.entries,
  phases: v.optional(
    v.array(v.looseObject({ phase: v.string(), duration_ms: v.number(), cached: v.optional(v.boolean(), false) })),
    [],
  ),
  notes: v.optional(v.array(v.string()), []),
  test_output: v.optional(v.string(), ""),
  agent_output: v.optional(v.string(), ""),
});
export type TaskState = v.InferOutput<typeof taskWire>;

export const eventWire = v.looseObject({
  event: v.string(),
  batch_id: v.optional(v.string()),
  task_id: v.optional(v.string()),
  seq: v.optional(v.number(), 0),
  data: v.optional(v.record(v.string(), v.unknown()), {}),
});
export type LiveEvent = v.InferOutput<typeof eventWire>;

const endStatuses = new Set(["completed", "failed", "cancelled"]);

/** Whether nothing more will happen to a batch or task of that status. */
export const isEnd = (status: string) => endStatuses.has(status);
