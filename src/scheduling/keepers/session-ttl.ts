/**
 * A batch without progress for SESSION_TTL_SECS is ended: its unfinished tasks become `failed`, `inconclusive`,
 * `infra_error`, and the batch `completed` with `error: "session_expired"` – what was judged stands, and a batch is
 * `failed` only if it could not be run at all. One that waits for its turn (`pending`) makes no progress of its own and is
 * left alone.
 *
 * Time is counted by the clock that doesn't jump, from when this process saw the newest progress: a wall clock that is
 * set an hour ahead ends nothing, and a restart begins the count anew.
 */
import type { Clock } from "../../kernel/clock.ts";
import type { Db } from "../../store/port.ts";
import type { Keeper } from "./keeper.ts";

export interface SessionTtlOptions {
  readonly db: Db;
  readonly clock: Clock;
  readonly ttlMs: number;
  /** Scheduler.expireBatch */
  readonly expireBatch: (batchId: string) => Promise<boolean>;
  readonly intervalMs?: number;
}

export function sessionTtlKeeper(options: SessionTtlOptions): Keeper {
  const { db, clock, ttlMs, expireBatch } = options;
  const seen = new Map<string, { readonly mark: string; readonly atMs: number }>();
  return {
    name: "session-ttl",
    intervalMs: options.intervalMs ?? Math.min(10_000, Math.max(250, ttlMs / 10)),
    async run(signal) {
      const rows = await db
        .selectFrom("batches")
        .select(["batch_id", "status", "head_seq", "completed_tasks", "last_progress_at"])
        .where("status", "in", ["extracting", "running"])
        .execute();
      const nowMs = clock.monotonicMs();
      const present = new Set(rows.map((row) => row.batch_id));
      for (const id of seen.keys()) if (!present.has(id)) seen.delete(id);
      let expired = 0;
      for (const row of rows) {
        const mark = `${row.status} ${row.head_seq} ${row.completed_tasks} ${row.last_progress_at.getTime()}`;
        const known = seen.get(row.batch_id);
        if (known?.mark !== mark) {
          seen.set(row.batch_id, { mark, atMs: nowMs });
        } else if (nowMs - known.atMs >= ttlMs && !signal.aborted) {
          if (await expireBatch(row.batch_id)) expired += 1;
        }
      }
      return expired;
    },
  };
}
