/** The two bodies of an accepted submission. */
import * as v from "valibot";
import type { SubmitResult } from "../deps.ts";

const counted = {
  batch_id: v.pipe(v.string(), v.uuid()),
  ws_url: v.string(),
  archive_hash: v.string(),
  votes: v.number(),
  required: v.number(),
  total_validators: v.number(),
  total_tasks: v.number(),
  note: v.optional(v.string()),
};
export const pendingWire = v.object({ status: v.literal("pending_consensus"), ...counted });
export const startedWire = v.object({ ...counted, concurrent_tasks: v.number(), consensus_reached: v.literal(true) });
export type SubmitWire = v.InferOutput<typeof pendingWire> | v.InferOutput<typeof startedWire>;

export function submitToWire(result: SubmitResult): SubmitWire {
  const body = {
    batch_id: result.batchId,
    ws_url: `/ws?batch_id=${result.batchId}`,
    archive_hash: result.archiveDigest,
    votes: result.votes,
    // JSON has no Infinity; an empty set is answered `whitelist_not_ready` long before.
    required: Number.isFinite(result.required) ? result.required : result.totalValidators + 1,
    total_validators: result.totalValidators,
    total_tasks: result.totalTasks,
    ...(result.repeated ? { note: "Your vote was already recorded" } : {}),
  };
  return result.state === "pending"
    ? { status: "pending_consensus", ...body }
    : { ...body, concurrent_tasks: result.concurrentTasks, consensus_reached: true };
}
