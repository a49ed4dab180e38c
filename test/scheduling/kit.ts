/** A whole scheduling room on a store, with an evaluator that does what a test says. */
import { createHash, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Submission, TaskSpec } from "../../src/archive/submission.ts";
import type { AttemptInput, AttemptReporter, Evaluator, TaskResult } from "../../src/evaluation/port.ts";
import type { JournalEvent } from "../../src/journal/events.ts";
import { createJournal } from "../../src/journal/journal.ts";
import type { Journal } from "../../src/journal/port.ts";
import { type Clock, systemClock } from "../../src/kernel/clock.ts";
import type { BatchId, Digest, TaskId } from "../../src/kernel/ids.ts";
import { emptyText } from "../../src/kernel/outcome.ts";
import { type Deferred, deferred } from "../../src/kernel/signals.ts";
import type { SchedulerHooks } from "../../src/scheduling/hooks.ts";
import type { RetryPolicy } from "../../src/scheduling/retry-policy.ts";
import { createScheduler, type Scheduler, type SchedulerConfig } from "../../src/scheduling/scheduler.ts";
import { openBlobs } from "../../src/store/blobs.ts";
import { openStore } from "../../src/store/open.ts";
import type { BlobStore, Store } from "../../src/store/port.ts";
import { recordArchive } from "../../src/store/tables/archives.ts";

export const fastRetry: RetryPolicy = { faultsMax: 5, lossesMax: 20, firstDelayMs: 2, delayMsMax: 10 };

export const testConfig: SchedulerConfig = {
  MAX_CONCURRENT_TASKS: 4,
  MAX_ACTIVE_BATCHES: 4,
  MAX_QUEUED_TASKS: 10_000,
  DRAIN_TIMEOUT_SECS: 5,
  SESSION_TTL_SECS: 7_200,
};

export type Evaluate = (input: AttemptInput, reporter: AttemptReporter, signal: AbortSignal) => Promise<TaskResult>;

export interface KitOptions {
  readonly evaluate?: Evaluate;
  readonly config?: Partial<SchedulerConfig>;
  readonly clock?: Clock;
  readonly retry?: RetryPolicy;
  readonly databaseUrl?: string;
  /** a store that other tests of the file share; it is left open */
  readonly store?: Store;
  /** absent: store in memory, blobs in a temporary folder */
  readonly dataDir?: string;
  /** blobs that other tests of the file share */
  readonly blobs?: BlobStore;
  readonly hooks?: SchedulerHooks;
  /** long, so that a test shows that notifications carry it */
  readonly pollMs?: number;
}

export interface Kit extends AsyncDisposable {
  readonly store: Store;
  readonly blobs: BlobStore;
  readonly journal: Journal;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  /** Records an approved batch of tasks `t0`, `t1`, … as a reached quorum does. @returns its id */
  openBatch(taskCount: number, concurrentTasks?: number): Promise<BatchId>;
  /** Every event of a batch up to its end. */
  untilComplete(batchId: string, signal?: AbortSignal): Promise<JournalEvent[]>;
}

export const passing: Evaluate = async () => resultOf({});

export function resultOf(overrides: Partial<TaskResult>): TaskResult {
  return {
    verdict: "passed",
    reason: null,
    reward: 1,
    error: null,
    phases: [],
    tests: [],
    agentOutput: emptyText,
    testOutput: emptyText,
    agentPatch: emptyText,
    notes: [],
    ...overrides,
  };
}

export function submissionOf(taskCount: number, salt: string = randomUUID()): Submission {
  return {
    archiveDigest: sha256(salt) as Digest,
    tasks: Array.from({ length: taskCount }, (_, index) => taskOf(`t${index}`)),
    agent: {
      digest: sha256(`agent ${salt}`) as Digest,
      language: "shell",
      entry: "agent.sh",
      requirements: [],
      sizeBytes: 1,
    },
  };
}

export function taskOf(id: string): TaskSpec {
  return {
    taskId: id as TaskId,
    repoUrl: "https://github.com/owner/name.git",
    repo: "owner/name",
    prompt: "mend it",
    install: [],
    installDir: ".",
    toolVersions: {},
    judges: [],
    testFiles: [],
    judgedBy: "none",
  };
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Writes what admission writes: the archive and a batch that has its votes. */
export async function recordBatch(
  store: Store,
  blobs: BlobStore,
  submission: Submission,
  open: (tx: Parameters<Scheduler["open"]>[0], batchId: BatchId) => Promise<void>,
): Promise<BatchId> {
  const batchId = randomUUID() as BatchId;
  const submissionBlob = await blobs.put(JSON.stringify(submission));
  await store.transaction(async (tx) => {
    const now = new Date();
    await recordArchive(tx, {
      digest: submission.archiveDigest,
      sizeBytes: 1,
      taskCount: submission.tasks.length,
      submissionBlob,
      createdAt: now,
    });
    await tx
      .insertInto("batches")
      .values({
        batch_id: batchId,
        archive_digest: submission.archiveDigest,
        status: "pending",
        error: null,
        total_tasks: submission.tasks.length,
        concurrent_tasks: 0,
        results_hash: null,
        created_at: now,
        last_progress_at: now,
      })
      .execute();
    await open(tx, batchId);
  });
  return batchId;
}

export async function startKit(options: KitOptions = {}): Promise<Kit> {
  const temporary = options.dataDir ?? mkdtempSync(join(tmpdir(), "proctor-scheduling-"));
  const clock = options.clock ?? systemClock;
  const store = options.store ?? (await openStore({ databaseUrl: options.databaseUrl, dataDir: options.dataDir }));
  const blobs = options.blobs ?? (await openBlobs(temporary));
  const journal = createJournal({ store, clock });
  const evaluator: Evaluator = { evaluate: options.evaluate ?? passing };
  const scheduler = createScheduler({
    store,
    journal,
    blobs,
    evaluator,
    clock,
    config: { ...testConfig, ...options.config },
    retry: options.retry ?? fastRetry,
    hooks: options.hooks,
    pollMs: options.pollMs ?? 60_000,
  });
  await scheduler.start();
  return {
    store,
    blobs,
    journal,
    scheduler,
    clock,
    openBatch: (taskCount, concurrentTasks = 8) => {
      const submission = submissionOf(taskCount);
      return recordBatch(store, blobs, submission, (tx, id) => scheduler.open(tx, id, submission, concurrentTasks));
    },
    async untilComplete(batchId, signal = AbortSignal.timeout(60_000)) {
      const events: JournalEvent[] = [];
      for await (const event of journal.follow(batchId, 0, signal)) events.push(event);
      return events;
    },
    async [Symbol.asyncDispose]() {
      await scheduler.drain(AbortSignal.abort());
      await journal.close();
      if (options.store === undefined) await store.close();
      if (options.dataDir === undefined) rmSync(temporary, { recursive: true, force: true });
    },
  };
}

/** An evaluator that waits in each task until it is let go, and says when it has begun. */
export function gated() {
  const gates = new Map<string, { begun: Deferred<void>; go: Deferred<void> }>();
  const gate = (key: string) => {
    const made = gates.get(key) ?? { begun: deferred(), go: deferred() };
    gates.set(key, made);
    return made;
  };
  const evaluate: Evaluate = async (input, _reporter, signal) => {
    const { begun, go } = gate(`${input.batchId}/${input.task.taskId}`);
    begun.resolve();
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      go.promise.then(resolve);
    });
    return resultOf({});
  };
  return { gate, evaluate };
}
