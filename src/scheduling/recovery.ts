/**
 * What a dead process of this DATA_DIR left: attempts that say `running` under our owner id. Nobody else may take them;
 * we may, because the DATA_DIR is locked and we have begun none yet. Batches that were being read are read again.
 */
import { endAttempt } from "./attempts.ts";
import type { Core } from "./core.ts";

export interface Recovered {
  /** attempts given back to the queue, or ended when they were lost too often */
  readonly attempts: number;
  /** batches to be read again */
  readonly extracting: readonly string[];
}

export async function recover(core: Core): Promise<Recovered> {
  const { db, owner } = core.store;
  const left = await db
    .selectFrom("attempts")
    .innerJoin("tasks", (join) =>
      join.onRef("tasks.batch_id", "=", "attempts.batch_id").onRef("tasks.task_id", "=", "attempts.task_id"),
    )
    .select(["attempts.batch_id", "attempts.task_id", "attempts.attempt", "tasks.job_id", "tasks.spec_blob"])
    .where("attempts.owner", "=", owner)
    .where("attempts.state", "=", "running")
    .orderBy("attempts.batch_id")
    .orderBy("tasks.ordinal")
    .execute();
  for (const row of left) await giveBack(core, row, "restarted", []);
  const batches = await db
    .selectFrom("batches")
    .select(["batch_id", "status", "started_at"])
    .where("status", "in", ["extracting", "running"])
    .orderBy("opened_at")
    .execute();
  for (const batch of batches) {
    if (batch.status === "running") {
      core.timers.start(batch.batch_id, core.timers.elapsedMs(batch.batch_id, batch.started_at));
    }
  }
  return {
    attempts: left.length,
    extracting: batches.filter((batch) => batch.status === "extracting").map((batch) => batch.batch_id),
  };
}

interface LeftAttempt {
  readonly batch_id: string;
  readonly task_id: string;
  readonly attempt: number;
  readonly job_id: string | null;
}

/** Marks an attempt `lost` and queues its task again. */
export async function giveBack(
  core: Core,
  row: LeftAttempt,
  reason: "restarted" | "handed_back",
  events: Parameters<typeof endAttempt>[2]["events"],
): Promise<void> {
  const claim = {
    batchId: row.batch_id,
    taskId: row.task_id,
    attempt: row.attempt,
    // A task that runs always has its job; the nil id removes nothing.
    jobId: row.job_id ?? "00000000-0000-0000-0000-000000000000",
    specBlob: "",
  };
  await endAttempt(core, claim, {
    command: ({ losses }) => ({
      kind: "lose",
      attempt: row.attempt,
      count: losses + 1,
      countMax: core.retry.lossesMax,
      error: `the server was stopped ${losses + 1} times while this task ran; it was not scored`,
    }),
    events,
    durationMs: 0,
    fault: reason,
    delayMs: () => 0,
    retryReason: reason,
  });
}
