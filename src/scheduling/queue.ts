/**
 * The queue: pg-boss on our own store, so that a job is written, claimed and removed in the transaction that changes its
 * task. One job is one attempt to come: a retry is a new job, and a job is deleted when its attempt ends. So pg-boss
 * keeps nothing that we would have to clean up, its expiry and maintenance stay off, and a claim never lapses behind the
 * back of a running attempt; attempts that a dead process left are returned by recovery.ts.
 *
 * Order of claims: by priority, which is minus the job's tag (fair-order.ts); at most `concurrent_tasks` of a batch at
 * once, held by pg-boss's group limits (the batch is the group, its limit the tier).
 */

import type { ConstructorOptions, JobInsert } from "pg-boss";
import { fromKysely, PgBoss } from "pg-boss";
import type { Store, Tx } from "../store/port.ts";

const QUEUE = "attempts";
/** Jobs of one INSERT. */
const INSERT_CHUNK = 1_000;

export interface NewJob {
  readonly id: string;
  readonly batchId: string;
  readonly taskId: string;
  /** place in the fair order; smaller comes first */
  readonly tag: number;
  /** tasks of this batch that may run at once */
  readonly concurrentTasks: number;
  /** not before this long from now, ms */
  readonly delayMs: number;
}

export interface ClaimedJob {
  readonly id: string;
  readonly batchId: string;
  readonly taskId: string;
}

export interface JobQueue {
  /** Installs or migrates the queue's tables. @throws AppError `store_unavailable` */
  start(): Promise<void>;
  add(tx: Tx, jobs: readonly NewJob[]): Promise<void>;
  /** Takes up to `countMax` jobs that are due. */
  claim(tx: Tx, countMax: number): Promise<readonly ClaimedJob[]>;
  remove(tx: Tx, ids: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

interface JobData {
  readonly batchId: string;
  readonly taskId: string;
}

/** @param concurrentMax largest `concurrent_tasks` a batch may have */
export function createQueue(store: Store, concurrentMax: number, onError: (error: unknown) => void): JobQueue {
  const boss = new PgBoss({
    ...(store.jobs.options as Partial<ConstructorOptions>),
    supervise: false,
    schedule: false,
    monitorVacuum: false,
    reindex: false,
  });
  boss.on("error", onError);
  const tiers = Object.fromEntries(Array.from({ length: concurrentMax }, (_, index) => [tierOf(index + 1), index + 1]));
  const groupConcurrency = { default: concurrentMax, tiers };

  return {
    async start() {
      await boss.start();
      await boss.createQueue(QUEUE, { policy: "standard" });
      // Fills pg-boss's cache of queues here: a first look inside a transaction would use another connection.
      await boss.fetch(QUEUE, { batchSize: 1, minPriority: 2_000_000_000 });
    },
    async add(tx, jobs) {
      for (let start = 0; start < jobs.length; start += INSERT_CHUNK) {
        const chunk = jobs.slice(start, start + INSERT_CHUNK).map(
          (job): JobInsert<JobData> => ({
            id: job.id,
            data: { batchId: job.batchId, taskId: job.taskId },
            priority: -job.tag,
            startAfter: job.delayMs / 1_000,
            group: { id: job.batchId, tier: tierOf(job.concurrentTasks) },
          }),
        );
        await boss.insert(QUEUE, chunk, { db: fromKysely(tx as never) });
      }
    },
    async claim(tx, countMax) {
      const claimed: ClaimedJob[] = [];
      // One fetch looks at `batchSize` candidates and drops those above their group's limit: ask again for the rest.
      while (claimed.length < countMax) {
        const jobs = await boss.fetch<JobData>(QUEUE, {
          batchSize: countMax - claimed.length,
          groupConcurrency,
          db: fromKysely(tx as never),
        });
        if (jobs.length === 0) break;
        claimed.push(...jobs.map(({ id, data }) => ({ id, batchId: data.batchId, taskId: data.taskId })));
      }
      return claimed;
    },
    async remove(tx, ids) {
      if (ids.length > 0) await boss.deleteJob(QUEUE, [...ids], { db: fromKysely(tx as never) });
    },
    async stop() {
      await boss.stop({ close: false, graceful: false });
    },
  };
}

function tierOf(concurrentTasks: number): string {
  return `c${concurrentTasks}`;
}
