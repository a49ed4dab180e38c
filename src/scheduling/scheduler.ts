/**
 * WHEN a task runs. Two loops on one store:
 * - the dispatcher lets waiting batches begin, oldest first, MAX_ACTIVE_BATCHES at once (opening.ts);
 * - the claimer takes due jobs while fewer than MAX_CONCURRENT_TASKS attempts run here (attempts.ts, run-attempt.ts).
 * Both sleep until a commit notifies them, an attempt ends, or a retry falls due; slow polling is only the floor.
 *
 * Whatever dies when, the store says the truth: an attempt is `running` from the transaction that claims its job to the
 * one that ends it, and what a dead process left running is given back by the next one (recovery.ts).
 */

import type { BatchOpener } from "../admission/port.ts";
import type { Config } from "../config.ts";
import type { Evaluator } from "../evaluation/port.ts";
import type { Journal } from "../journal/port.ts";
import type { Clock } from "../kernel/clock.ts";
import type { BlobStore, Store } from "../store/port.ts";
import { sql } from "../store/sql.ts";
import { claimAttempts } from "./attempts.ts";
import { BatchTimers } from "./batch-timers.ts";
import { type Claim, type Core, SCHEDULING_CHANNEL } from "./core.ts";
import { Dispatcher } from "./dispatcher.ts";
import { endEarly } from "./ending.ts";
import type { SchedulerHooks, SchedulerLogger, SchedulerStats } from "./hooks.ts";
import { countUnfinished, openBatch } from "./opening.ts";
import { createQueue } from "./queue.ts";
import { recover } from "./recovery.ts";
import { defaultRetryPolicy, type RetryPolicy } from "./retry-policy.ts";
import { OrderedAbort, runAttempt } from "./run-attempt.ts";
import { Wake } from "./wake.ts";

/** Floor under notifications; also how soon a delayed retry is seen when its own timer is gone. */
const POLL_MS = 5_000;
/** Wait after the store did not answer a loop. */
const LOOP_RETRY_MS = 1_000;
/** Longest wait for attempts that were told to end: their sandboxes are being removed. */
const HAND_BACK_MS = 15_000;

export type SchedulerConfig = Pick<
  Config,
  "MAX_CONCURRENT_TASKS" | "MAX_ACTIVE_BATCHES" | "MAX_QUEUED_TASKS" | "DRAIN_TIMEOUT_SECS" | "SESSION_TTL_SECS"
>;

export interface SchedulerOptions {
  readonly store: Store;
  readonly journal: Journal;
  readonly blobs: BlobStore;
  readonly evaluator: Evaluator;
  readonly config: SchedulerConfig;
  readonly clock: Clock;
  readonly logger?: SchedulerLogger | undefined;
  readonly hooks?: SchedulerHooks | undefined;
  /** tests make it fast */
  readonly retry?: RetryPolicy | undefined;
  readonly random?: (() => number) | undefined;
  readonly pollMs?: number | undefined;
}

export interface Scheduler extends BatchOpener {
  /** Returns what a dead process left to the queue, then begins to work. @throws AppError `store_unavailable` */
  start(): Promise<void>;
  /** Stops claiming; running attempts get DRAIN_TIMEOUT_SECS, or until `signal` aborts; then they are handed back. */
  drain(signal?: AbortSignal): Promise<void>;
  /** Ends a batch and its running tasks now. @returns false where it has ended already or is unknown */
  cancelBatch(batchId: string): Promise<boolean>;
  /** Ends a batch that made no progress; see keepers/session-ttl.ts. */
  expireBatch(batchId: string): Promise<boolean>;
  /** Whether this attempt runs in this process now. */
  isRunning(batchId: string, taskId: string, attempt: number): boolean;
  stats(): SchedulerStats;
}

interface RunningAttempt {
  readonly claim: Claim;
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

export function createScheduler(options: SchedulerOptions): Scheduler {
  const { store, journal, blobs, evaluator, config, clock, logger } = options;
  const onQueueError = (error: unknown) => logger?.warn({ err: String(error) }, "queue");
  const core: Core = {
    store,
    journal,
    clock,
    queue: createQueue(store, config.MAX_CONCURRENT_TASKS, onQueueError),
    timers: new BatchTimers(clock),
    retry: options.retry ?? defaultRetryPolicy,
    random: options.random ?? Math.random,
  };
  const hooks = options.hooks ?? {};
  const pollMs = options.pollMs ?? POLL_MS;
  const stopClaiming = new AbortController();
  const giveUp = new AbortController();
  const wake = new Wake(clock);
  const dispatcher = new Dispatcher({ core, blobs, activeMax: config.MAX_ACTIVE_BATCHES, logger });
  const running = new Map<string, RunningAttempt>();
  let counts = { queued: 0, activeBatches: 0, waitingBatches: 0 };
  let lastClaimMs: number | undefined;
  let loops: Promise<unknown> | undefined;
  let stopListening: (() => Promise<void>) | undefined;
  let draining: Promise<void> | undefined;

  const wakeAll = () => {
    wake.now();
    dispatcher.wake();
  };

  const wakeAfter = (ms: number) => {
    clock.sleep(ms, stopClaiming.signal).then(wakeAll, () => undefined);
  };

  const begin = (claim: Claim) => {
    const key = keyOf(claim.batchId, claim.taskId, claim.attempt);
    const abort = new AbortController();
    hooks.attemptStarted?.({ batch: claim.batchId, task: claim.taskId, attempt: claim.attempt });
    const runner = { core, blobs, evaluator, hooks, logger, giveUp: giveUp.signal, wakeAfter };
    const done = runAttempt(runner, claim, abort).finally(() => {
      running.delete(key);
      wakeAll();
    });
    running.set(key, { claim, abort, done });
  };

  const claimLoop = async () => {
    const { signal } = stopClaiming;
    while (!signal.aborted) {
      try {
        const room = config.MAX_CONCURRENT_TASKS - running.size;
        const claims = room > 0 ? await claimAttempts(core, room) : [];
        lastClaimMs = clock.monotonicMs();
        for (const claim of claims) begin(claim);
        if (claims.length > 0 && running.size < config.MAX_CONCURRENT_TASKS) continue;
        counts = await lookUpCounts(store);
        await wake.wait(pollMs, signal);
      } catch (error) {
        logger?.warn({ err: String(error) }, "claiming waits: the store doesn't answer");
        await clock.sleep(LOOP_RETRY_MS, signal).catch(() => undefined);
      }
    }
  };

  const abortBatch = (batchId: string) => {
    for (const { claim, abort } of running.values()) {
      if (claim.batchId === batchId) abort.abort(new OrderedAbort("fenced"));
    }
    core.timers.forget(batchId);
  };

  const drainNow = async (signal: AbortSignal | undefined) => {
    stopClaiming.abort();
    wakeAll();
    await loops;
    const all = Promise.all([...running.values()].map((attempt) => attempt.done));
    const waiting = new AbortController();
    const limit = AbortSignal.any([waiting.signal, ...(signal === undefined ? [] : [signal])]);
    await Promise.race([all, clock.sleep(config.DRAIN_TIMEOUT_SECS * 1_000, limit).catch(() => undefined)]);
    waiting.abort();
    if (running.size > 0) logger?.info({ attempts: running.size }, "handing running tasks back");
    for (const { abort } of running.values()) abort.abort(new OrderedAbort("handBack"));
    // From here on nobody waits for a store that is gone: what can't be stored is given back by the next start.
    giveUp.abort();
    const handedBack = Promise.all([...running.values()].map((attempt) => attempt.done));
    await Promise.race([handedBack, clock.sleep(HAND_BACK_MS)]);
    if (running.size > 0) logger?.warn({ attempts: running.size }, "left running tasks to the next start");
    await stopListening?.().catch(() => undefined);
    await core.queue.stop();
  };

  return {
    async hasRoom(tx, taskCount) {
      return (await countUnfinished(tx)) + taskCount <= config.MAX_QUEUED_TASKS;
    },
    async open(tx, batchId, submission, concurrentTasks) {
      const concurrent = Math.min(Math.max(1, Math.trunc(concurrentTasks)), config.MAX_CONCURRENT_TASKS);
      await openBatch(core, tx, batchId, submission, concurrent);
    },
    async start() {
      if (loops !== undefined) throw new Error("this scheduler has been started already");
      await core.queue.start();
      const recovered = await recover(core);
      if (recovered.attempts > 0) logger?.info({ attempts: recovered.attempts }, "attempts of the last run given back");
      dispatcher.resume(recovered.extracting);
      stopListening = await store.listen(SCHEDULING_CHANNEL, wakeAll, wakeAll);
      loops = Promise.all([claimLoop(), dispatcher.run(stopClaiming.signal, pollMs)]);
    },
    drain(signal) {
      draining ??= drainNow(signal);
      return draining;
    },
    async cancelBatch(batchId) {
      const end = { kind: "cancel", batchError: null, taskError: "the batch was cancelled" } as const;
      const done = await endEarly(core, batchId, end);
      if (done) abortBatch(batchId);
      return done;
    },
    async expireBatch(batchId) {
      const taskError = `the batch made no progress for ${config.SESSION_TTL_SECS} s and was ended; not scored`;
      const done = await endEarly(core, batchId, { kind: "expire", batchError: "session_expired", taskError });
      if (done) abortBatch(batchId);
      return done;
    },
    isRunning: (batchId, taskId, attempt) => running.has(keyOf(batchId, taskId, attempt)),
    stats: () => ({
      ...counts,
      queued: Math.max(0, counts.queued - running.size),
      running: running.size,
      draining: stopClaiming.signal.aborted,
      lastClaimAgeMs: lastClaimMs === undefined ? undefined : clock.monotonicMs() - lastClaimMs,
    }),
  };
}

function keyOf(batchId: string, taskId: string, attempt: number): string {
  return `${batchId} ${attempt} ${taskId}`;
}

async function lookUpCounts(
  store: Store,
): Promise<Pick<SchedulerStats, "queued" | "activeBatches" | "waitingBatches">> {
  return store.db
    .selectFrom("batches")
    .select([
      sql<number>`coalesce(sum(total_tasks - completed_tasks), 0)::float8`.as("queued"),
      sql<number>`(count(*) filter (where status <> 'pending'))::int`.as("activeBatches"),
      sql<number>`(count(*) filter (where status = 'pending'))::int`.as("waitingBatches"),
    ])
    .where("status", "in", ["pending", "extracting", "running"])
    .where("opened_at", "is not", null)
    .executeTakeFirstOrThrow();
}
