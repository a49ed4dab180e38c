/**
 * Attempts in the store. Each function is one transaction that stores state, events and jobs together, and takes the
 * batch's row lock first. Each is fenced: an attempt that is not the task's present one changes nothing, and says so.
 */
import { randomUUID } from "node:crypto";
import type { NewEvent } from "../journal/events.ts";
import type { TaskStatus } from "../kernel/outcome.ts";
import type { Tx } from "../store/port.ts";
import { sql } from "../store/sql.ts";
import { type BatchRow, lockBatch } from "../store/tables/batches.ts";
import { type Claim, type Core, SCHEDULING_CHANNEL } from "./core.ts";
import { finishBatch } from "./finish-batch.ts";
import type { ClaimedJob } from "./queue.ts";
import { type ResultColumns, storable } from "./records.ts";
import { advance, type Ending, runningStatuses, type TaskCommand, type TaskStep } from "./task-state.ts";

/** Takes up to `countMax` jobs that are due and begins their attempts. */
export async function claimAttempts(core: Core, countMax: number): Promise<readonly Claim[]> {
  return core.store.transaction(async (tx) => {
    const jobs = await core.queue.claim(tx, countMax);
    const claims: Claim[] = [];
    const stale: string[] = [];
    // Batches are locked in the order of their ids, so that two claimers can't wait for each other.
    for (const [batchId, group] of [...groupByBatch(jobs)].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const batch = await lockBatch(tx, batchId);
      const begun: Claim[] = [];
      for (const job of group) {
        const claim = batch?.status === "running" ? await beginAttempt(core, tx, job) : undefined;
        if (claim === undefined) stale.push(job.id);
        else begun.push(claim);
      }
      if (begun.length === 0) continue;
      claims.push(...begun);
      await core.journal.append(
        tx,
        batchId,
        begun.map(({ taskId, attempt }) => ({ event: "task_started", taskId, data: { task_id: taskId, attempt } })),
      );
    }
    await core.queue.remove(tx, stale);
    return claims;
  });
}

async function beginAttempt(core: Core, tx: Tx, job: ClaimedJob): Promise<Claim | undefined> {
  const now = new Date(core.clock.now());
  const row = await tx
    .updateTable("tasks")
    .set({ status: "cloning_repo", attempt: sql`attempt + 1`, started_at: sql`coalesce(started_at, ${now})` })
    .where("batch_id", "=", job.batchId)
    .where("task_id", "=", job.taskId)
    .where("status", "=", "queued")
    .where("job_id", "=", job.id)
    .returning(["attempt", "spec_blob"])
    .executeTakeFirst();
  if (row === undefined || row.spec_blob === null) return undefined;
  await tx
    .insertInto("attempts")
    .values({
      batch_id: job.batchId,
      task_id: job.taskId,
      attempt: row.attempt,
      owner: core.store.owner,
      state: "running",
      fault: null,
      started_at: now,
    })
    .execute();
  return { batchId: job.batchId, taskId: job.taskId, attempt: row.attempt, jobId: job.id, specBlob: row.spec_blob };
}

/** Stores what a running attempt reported. @returns false where the attempt is not the present one any more */
export async function recordProgress(
  core: Core,
  claim: Claim,
  events: readonly NewEvent[],
  status: TaskStatus | undefined,
): Promise<boolean> {
  return core.store.transaction(async (tx) => {
    await lockBatch(tx, claim.batchId);
    const result = await tx
      .updateTable("tasks")
      .set(status === undefined ? { attempt: claim.attempt } : { status })
      .where("batch_id", "=", claim.batchId)
      .where("task_id", "=", claim.taskId)
      .where("attempt", "=", claim.attempt)
      .where("status", "in", [...runningStatuses])
      .executeTakeFirst();
    if (result.numUpdatedRows === 0n) return false;
    await core.journal.append(tx, claim.batchId, events);
    return true;
  });
}

/** How often a task's earlier attempts ended so. */
export interface EarlierAttempts {
  readonly faults: number;
  readonly losses: number;
}

export interface AttemptEnd {
  /** decides in view of the earlier attempts */
  readonly command: (earlier: EarlierAttempts) => TaskCommand;
  /** reports that were not yet written */
  readonly events: readonly NewEvent[];
  /** by a clock that doesn't jump */
  readonly durationMs: number;
  readonly columns?: ResultColumns | undefined;
  /** what the platform failed to do, for operators */
  readonly fault?: string | undefined;
  /** wait before the next attempt, if there is one */
  readonly delayMs: (earlier: EarlierAttempts) => number;
  /** code that `task_retry` carries */
  readonly retryReason: string;
}

export type AttemptEnded =
  | { readonly kind: "ended" }
  | { readonly kind: "requeued"; readonly delayMs: number }
  /** another has ended it before: nothing was changed */
  | { readonly kind: "fenced" };

/** Ends an attempt: with its verdict, or back into the queue. */
export async function endAttempt(core: Core, claim: Claim, end: AttemptEnd): Promise<AttemptEnded> {
  return core.store.transaction(async (tx) => {
    const batch = await lockBatch(tx, claim.batchId);
    const task = await tx
      .selectFrom("tasks")
      .select(["status", "attempt"])
      .where("batch_id", "=", claim.batchId)
      .where("task_id", "=", claim.taskId)
      .executeTakeFirst();
    const earlier = await countEarlier(tx, claim);
    const step = task === undefined ? undefined : advance(task, end.command(earlier));
    await core.queue.remove(tx, [claim.jobId]);
    if (batch === undefined || step === undefined) return { kind: "fenced" };
    await tx
      .updateTable("attempts")
      .set({
        state: step.attemptState ?? "lost",
        fault: end.fault ?? null,
        ended_at: new Date(core.clock.now()),
      })
      .where("batch_id", "=", claim.batchId)
      .where("task_id", "=", claim.taskId)
      .where("attempt", "=", claim.attempt)
      .execute();
    if (step.ending === null) {
      const delayMs = end.delayMs(earlier);
      await requeue(core, tx, batch, claim, end, delayMs);
      return { kind: "requeued", delayMs };
    }
    await settle(core, tx, batch, claim, end, { ...step, ending: step.ending });
    return { kind: "ended" };
  });
}

async function requeue(
  core: Core,
  tx: Tx,
  batch: BatchRow,
  claim: Claim,
  end: AttemptEnd,
  delayMs: number,
): Promise<void> {
  const jobId = randomUUID();
  const { ordinal } = await tx
    .updateTable("tasks")
    .set({ status: "queued", job_id: jobId })
    .where("batch_id", "=", claim.batchId)
    .where("task_id", "=", claim.taskId)
    .returning("ordinal")
    .executeTakeFirstOrThrow();
  const { batchId, taskId, attempt } = claim;
  const tag = (batch.claim_base ?? 0) + ordinal;
  await core.queue.add(tx, [{ id: jobId, batchId, taskId, tag, concurrentTasks: batch.concurrent_tasks, delayMs }]);
  const data = { task_id: taskId, attempt, reason: end.retryReason, delay_ms: delayMs };
  await core.journal.append(tx, batchId, [...end.events, { event: "task_retry", taskId, data }]);
  await core.store.notify(tx, SCHEDULING_CHANNEL, "");
}

async function settle(
  core: Core,
  tx: Tx,
  batch: BatchRow,
  claim: Claim,
  end: AttemptEnd,
  step: TaskStep & { readonly ending: Ending },
): Promise<void> {
  const { verdict, passed, reason, reward, error } = step.ending;
  await tx
    .updateTable("tasks")
    .set({
      status: step.next.status,
      passed,
      verdict,
      reason,
      reward,
      error: error === null ? null : storable(error),
      job_id: null,
      duration_ms: end.durationMs,
      finished_at: new Date(core.clock.now()),
      ...end.columns,
    })
    .where("batch_id", "=", claim.batchId)
    .where("task_id", "=", claim.taskId)
    .execute();
  const events = [...end.events, taskComplete(claim.taskId, step.next.status, step.ending)];
  if (batch.completed_tasks + 1 >= batch.total_tasks) {
    await finishBatch(core, tx, batch, { status: "completed", error: batch.error }, events);
    return;
  }
  await tx
    .updateTable("batches")
    .set({
      completed_tasks: sql`completed_tasks + 1`,
      passed_tasks: sql`passed_tasks + ${passed === true ? 1 : 0}`,
      failed_tasks: sql`failed_tasks + ${passed === true ? 0 : 1}`,
      reward_sum: sql`reward_sum + ${reward}`,
    })
    .where("batch_id", "=", claim.batchId)
    .execute();
  await core.journal.append(tx, claim.batchId, events);
}

/** The event that says how a task ended. */
export function taskComplete(taskId: string, status: TaskStatus, ending: Ending): NewEvent {
  const { passed, reward, verdict, reason } = ending;
  return { event: "task_complete", taskId, data: { task_id: taskId, status, passed, reward, verdict, reason } };
}

async function countEarlier(tx: Tx, claim: Claim): Promise<EarlierAttempts> {
  const row = await tx
    .selectFrom("attempts")
    .select([
      sql<number>`(count(*) filter (where state = 'fault'))::int`.as("faults"),
      sql<number>`(count(*) filter (where state = 'lost'))::int`.as("losses"),
    ])
    .where("batch_id", "=", claim.batchId)
    .where("task_id", "=", claim.taskId)
    .where("attempt", "<", claim.attempt)
    .executeTakeFirstOrThrow();
  return row;
}

function groupByBatch(jobs: readonly ClaimedJob[]): Map<string, ClaimedJob[]> {
  const groups = new Map<string, ClaimedJob[]>();
  for (const job of jobs) groups.set(job.batchId, [...(groups.get(job.batchId) ?? []), job]);
  return groups;
}
