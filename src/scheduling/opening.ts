/**
 * From a reached quorum to jobs in the queue, in three transactions of which each can be the last before a crash:
 * 1. `openBatch`, inside the vote's own: the tasks are recorded, the batch waits for its turn (`pending`, `opened_at`);
 * 2. `takeNext`: the oldest waiting batch becomes `extracting` when fewer than MAX_ACTIVE_BATCHES are going on; outside
 *    any transaction its submission is then cut into one small blob for each task;
 * 3. `startBatch`: `running`, `batch_started`, and one job for each task.
 */
import { randomUUID } from "node:crypto";
import pLimit from "p-limit";
import type { AgentSpec, Submission, TaskSpec } from "../archive/submission.ts";
import { AppError } from "../kernel/errors.ts";
import type { BlobStore, Tx } from "../store/port.ts";
import type { TaskTable } from "../store/schema.ts";
import { type Insertable, sql } from "../store/sql.ts";
import { lockBatch } from "../store/tables/batches.ts";
import { type Core, SCHEDULING_CHANNEL } from "./core.ts";
import { presentTag } from "./fair-order.ts";

const ROWS_PER_INSERT = 500;
const BLOBS_AT_ONCE = 8;
/** Takes turns among everything that changes which batches are active. */
const ACTIVATION_LOCK = 7_046_029_254;

/** What one attempt needs of the archive. */
export interface AttemptSpec {
  readonly task: TaskSpec;
  readonly agent: AgentSpec;
}

/** Tasks that were approved and have not ended. */
export async function countUnfinished(tx: Tx): Promise<number> {
  const row = await tx
    .selectFrom("batches")
    .select(sql<number>`coalesce(sum(total_tasks - completed_tasks), 0)::float8`.as("count"))
    .where("status", "in", ["pending", "extracting", "running"])
    .where("opened_at", "is not", null)
    .executeTakeFirstOrThrow();
  return row.count;
}

/** See BatchOpener.open; a batch that is open already stays as it is. */
export async function openBatch(
  core: Core,
  tx: Tx,
  batchId: string,
  submission: Submission,
  concurrentTasks: number,
): Promise<void> {
  const now = new Date(core.clock.now());
  const opened = await tx
    .updateTable("batches")
    .set({
      total_tasks: submission.tasks.length,
      concurrent_tasks: concurrentTasks,
      opened_at: now,
      last_progress_at: now,
    })
    .where("batch_id", "=", batchId)
    .where("status", "=", "pending")
    .where("opened_at", "is", null)
    .executeTakeFirst();
  if (opened.numUpdatedRows === 0n) return;
  const rows = submission.tasks.map(
    (task, ordinal): Insertable<TaskTable> => ({
      batch_id: batchId,
      task_id: task.taskId,
      ordinal,
      status: "queued",
      passed: null,
      verdict: null,
      reason: null,
      error: null,
      result: null,
      agent_output_blob: null,
      test_output_blob: null,
      agent_patch_blob: null,
    }),
  );
  for (let start = 0; start < rows.length; start += ROWS_PER_INSERT) {
    await tx
      .insertInto("tasks")
      .values(rows.slice(start, start + ROWS_PER_INSERT))
      .execute();
  }
  await core.store.notify(tx, SCHEDULING_CHANNEL, "");
}

/** @returns the batch whose turn it is, now `extracting`, or undefined where none waits or none may begin */
export async function takeNext(core: Core, activeMax: number): Promise<string | undefined> {
  return core.store.transaction(async (tx) => {
    await sql`select pg_advisory_xact_lock(${ACTIVATION_LOCK})`.execute(tx);
    const { active } = await tx
      .selectFrom("batches")
      .select(sql<number>`count(*)::int`.as("active"))
      .where("status", "in", ["extracting", "running"])
      .executeTakeFirstOrThrow();
    if (active >= activeMax) return undefined;
    const next = await tx
      .selectFrom("batches")
      .select("batch_id")
      .where("status", "=", "pending")
      .where("opened_at", "is not", null)
      .orderBy("opened_at")
      .orderBy("batch_id")
      .limit(1)
      .forUpdate()
      .executeTakeFirst();
    if (next === undefined) return undefined;
    await tx
      .updateTable("batches")
      .set({ status: "extracting", last_progress_at: new Date(core.clock.now()) })
      .where("batch_id", "=", next.batch_id)
      .execute();
    return next.batch_id;
  });
}

/**
 * Cuts a batch's kept submission into one blob for each task.
 * @returns digests by task id
 * @throws AppError `internal` where the submission is not kept any more or doesn't fit the batch
 */
export async function keepSpecs(core: Core, blobs: BlobStore, batchId: string): Promise<ReadonlyMap<string, string>> {
  const archive = await core.store.db
    .selectFrom("batches")
    .innerJoin("archives", "archives.digest", "batches.archive_digest")
    .select("submission_blob")
    .where("batch_id", "=", batchId)
    .executeTakeFirstOrThrow();
  const bytes = await blobs.get(archive.submission_blob);
  if (bytes === undefined) throw new AppError("internal", "the kept submission of this batch is gone");
  const submission = JSON.parse(bytes.toString("utf8")) as Submission;
  const limit = pLimit(BLOBS_AT_ONCE);
  const specs = submission.tasks.map((task) =>
    limit(async () => {
      const spec: AttemptSpec = { task, agent: submission.agent };
      return [task.taskId, await blobs.put(JSON.stringify(spec))] as const;
    }),
  );
  return new Map(await Promise.all(specs));
}

/** @returns false where the batch is not `extracting` any more */
export async function startBatch(core: Core, batchId: string, specs: ReadonlyMap<string, string>): Promise<boolean> {
  return core.store.transaction(async (tx) => {
    await sql`select pg_advisory_xact_lock(${ACTIVATION_LOCK})`.execute(tx);
    const batch = await lockBatch(tx, batchId);
    if (batch?.status !== "extracting") return false;
    const tasks = await tx
      .selectFrom("tasks")
      .select(["task_id", "ordinal"])
      .where("batch_id", "=", batchId)
      .where("status", "=", "queued")
      .orderBy("ordinal")
      .execute();
    const base = await presentTag(tx);
    await tx
      .updateTable("batches")
      .set({ status: "running", claim_base: base, started_at: new Date(core.clock.now()) })
      .where("batch_id", "=", batchId)
      .execute();
    const jobs = tasks.map(({ task_id, ordinal }) => ({
      id: randomUUID(),
      batchId,
      taskId: task_id,
      tag: base + ordinal,
      concurrentTasks: batch.concurrent_tasks,
      delayMs: 0,
    }));
    await sql`
      update tasks set job_id = jobs.job_id, spec_blob = jobs.spec_blob
      from json_to_recordset(${JSON.stringify(
        jobs.map((job) => ({ task_id: job.taskId, job_id: job.id, spec_blob: specs.get(job.taskId) })),
      )}::text::json) as jobs (task_id text, job_id uuid, spec_blob text)
      where tasks.batch_id = ${batchId} and tasks.task_id = jobs.task_id`.execute(tx);
    await core.queue.add(tx, jobs);
    await core.journal.append(tx, batchId, [
      {
        event: "batch_started",
        data: { total_tasks: batch.total_tasks, concurrent_limit: batch.concurrent_tasks },
      },
    ]);
    await core.store.notify(tx, SCHEDULING_CHANNEL, "");
    return true;
  });
}
