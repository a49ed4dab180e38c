/** Small bodies about the server itself: health, readiness, status, instance. */
import * as v from "valibot";
import type { StoreCounts } from "../../telemetry/meters.ts";
import type { InstanceInfo } from "../deps.ts";

export const healthWire = v.object({ status: v.literal("ok") });
export const readyWire = v.object({
  status: v.picklist(["ready", "not_ready"]),
  error: v.optional(v.literal("not_ready")),
  message: v.optional(v.string()),
  checks: v.record(v.string(), v.object({ ready: v.boolean(), reason: v.nullable(v.string()) })),
});
export type ReadyWire = v.InferOutput<typeof readyWire>;

export const statusWire = v.object({
  version: v.string(),
  uptime_secs: v.number(),
  active_batches: v.number(),
  total_batches: v.number(),
  completed_batches: v.number(),
  tasks_passed: v.number(),
  tasks_failed: v.number(),
  max_concurrent_tasks: v.number(),
  has_active_batch: v.boolean(),
});
export const instanceWire = v.object({
  audience: v.string(),
  version: v.string(),
  image: v.string(),
  image_digest: v.nullable(v.string()),
  uptime_secs: v.number(),
  hostname: v.string(),
  max_concurrent_tasks: v.number(),
  netuid: v.number(),
});

interface Running {
  readonly instance: InstanceInfo;
  readonly uptimeMs: number;
  readonly maxConcurrentTasks: number;
}

export function statusToWire(counts: StoreCounts, running: Running): v.InferOutput<typeof statusWire> {
  return {
    version: running.instance.version,
    uptime_secs: Math.floor(running.uptimeMs / 1000),
    active_batches: counts.active,
    total_batches: counts.total,
    completed_batches: counts.completed,
    tasks_passed: counts.tasksPassed,
    tasks_failed: counts.tasksFailed,
    max_concurrent_tasks: running.maxConcurrentTasks,
    has_active_batch: counts.active > 0,
  };
}

export function instanceToWire(running: Running, netuid: number): v.InferOutput<typeof instanceWire> {
  const { instance } = running;
  return {
    audience: instance.audience,
    version: instance.version,
    image: instance.image,
    image_digest: instance.imageDigest(),
    uptime_secs: Math.floor(running.uptimeMs / 1000),
    hostname: instance.hostname,
    max_concurrent_tasks: running.maxConcurrentTasks,
    netuid,
  };
}
