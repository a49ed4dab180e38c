/**
 * The life of a batch, decided without I/O.
 *
 *     pending ──activate──▶ extracting ──run──▶ running ──complete──▶ completed
 *     pending, extracting ──fail──▶ failed              (it could not be run at all)
 *     running ──expire──▶ completed                     (no progress for SESSION_TTL_SECS: what was judged stands)
 *     pending, extracting ──expire──▶ failed · any unfinished ──cancel──▶ cancelled
 *
 * `pending` covers two waits: for votes (`opened_at` null; admission's) and, approved, for its turn.
 */
import { assertNever } from "../kernel/assert-never.ts";
import type { BatchStatus } from "../kernel/outcome.ts";

export type BatchCommand = "activate" | "run" | "complete" | "fail" | "expire" | "cancel";

const table: Readonly<Record<BatchCommand, Partial<Readonly<Record<BatchStatus, BatchStatus>>>>> = {
  activate: { pending: "extracting" },
  run: { extracting: "running" },
  complete: { running: "completed" },
  fail: { pending: "failed", extracting: "failed" },
  expire: { pending: "failed", extracting: "failed", running: "completed" },
  cancel: { pending: "cancelled", extracting: "cancelled", running: "cancelled" },
};

/** @returns the next status, or undefined where the command doesn't apply any more, or not yet */
export function advanceBatch(status: BatchStatus, command: BatchCommand): BatchStatus | undefined {
  return table[command][status];
}

export function isBatchFinished(status: BatchStatus): boolean {
  switch (status) {
    case "pending":
    case "extracting":
    case "running":
      return false;
    case "completed":
    case "failed":
    case "cancelled":
      return true;
    default:
      return assertNever(status);
  }
}
