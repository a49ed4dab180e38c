/** A whole door over real TCP: the real app, store (embedded, in memory), journal and blobs; gate and intake are fakes. */
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Gate, SignedHead, ValidatorSet } from "../../src/admission/port.ts";
import type { ApiDeps, Submit } from "../../src/api/deps.ts";
import { createApi, type Listening } from "../../src/api/server.ts";
import { loadConfig } from "../../src/config.ts";
import type { NewEvent } from "../../src/journal/events.ts";
import { createJournal } from "../../src/journal/journal.ts";
import type { Journal } from "../../src/journal/port.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { AppError, type ErrorCode } from "../../src/kernel/errors.ts";
import type { BatchId, Digest, Hotkey, PublicKeyHex } from "../../src/kernel/ids.ts";
import type { BatchStatus, TaskStatus } from "../../src/kernel/outcome.ts";
import { openBlobs } from "../../src/store/blobs.ts";
import { openStore } from "../../src/store/open.ts";
import { batchCounts } from "../../src/store/tables/batches.ts";
import { createLogger, secretsOf } from "../../src/telemetry/logger.ts";
import { createMeters } from "../../src/telemetry/meters.ts";

export const digestA = "a".repeat(64) as Digest;

export interface KitOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly gate?: Gate;
  readonly submit?: Submit;
  readonly bounds?: ApiDeps["bounds"];
  readonly readiness?: ApiDeps["readiness"];
  /** instead of the real one */
  readonly journal?: Partial<Journal>;
  /** share its store, journal and blobs: the embedded store takes a second to open */
  readonly beside?: Kit;
}

export interface Kit extends AsyncDisposable {
  readonly deps: ApiDeps;
  readonly url: string;
  readonly port: number;
  readonly listening: Listening;
  readonly logLines: string[];
  readonly heads: SignedHead[];
  get(path: string, init?: RequestInit): Promise<Response>;
  addBatch(batch?: Partial<NewBatch>): Promise<BatchId>;
  addTask(batchId: BatchId, task: NewTask): Promise<void>;
  /** Appends events, and may change the batch in the same transaction. */
  append(batchId: BatchId, events: readonly NewEvent[], status?: BatchStatus): Promise<number>;
}

interface NewBatch {
  readonly status: BatchStatus;
  readonly totalTasks: number;
  readonly passedTasks: number;
  readonly failedTasks: number;
  readonly rewardSum: number;
  readonly createdAt: Date;
  readonly error: string | null;
}

interface NewTask {
  readonly taskId: string;
  readonly ordinal: number;
  readonly status?: TaskStatus;
  readonly passed?: boolean | null;
  readonly reward?: number;
  readonly error?: string;
  readonly result?: object;
  /** outputs of the result's tests */
  readonly outputs?: readonly string[];
  readonly texts?: { readonly test?: string | Buffer; readonly agent?: string | Buffer; readonly patch?: string };
}

/** Accepts whoever sends all three headers and no `bad` signature; a missing header is refused like the real one does. */
export const headerGate: Gate = {
  async authenticate(head) {
    if (head.hotkey.length !== 1 || head.nonce.length !== 1 || head.signature.length !== 1)
      throw refusal("missing_auth");
    if (head.signature[0] === "bad") throw refusal("invalid_signature");
    return {
      publicKey: "b".repeat(64) as PublicKeyHex,
      hotkey: "5Fake" as Hotkey,
      nonce: head.nonce[0] ?? "",
      signature: head.signature[0] ?? "",
      version: 1,
    };
  },
};

export const signed = { "X-Hotkey": "5Fake", "X-Nonce": "n", "X-Signature": "s" };

export function refusal(code: ErrorCode, message: string = code): AppError {
  return new AppError(code, message);
}

/** Reads the body to its end, then answers a pending vote; throws the signal's reason as soon as it aborts. */
export const readingSubmit: Submit = async ({ body, concurrentTasks, signal }) => {
  signal.throwIfAborted();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  const read = async () => {
    let bytes = 0;
    for await (const piece of body) bytes += (piece as Buffer).length;
    return bytes;
  };
  const bytes = await Promise.race([read(), aborted]);
  return { ...pendingVote, totalTasks: bytes, concurrentTasks: concurrentTasks ?? 0 };
};

export const pendingVote = {
  state: "pending",
  batchId: "0b5f9b1e-6d2b-4f52-9d0a-4a5b0c1d2e3f" as BatchId,
  archiveDigest: digestA,
  votes: 1,
  required: 2,
  totalValidators: 3,
  totalTasks: 5,
  concurrentTasks: 0,
  repeated: false,
} as const;

const validators: ValidatorSet = {
  current: () => ({ keys: new Set(["b".repeat(64) as PublicKeyHex]), readAtMs: 0, source: "test" }),
  refresh: async () => ({ keys: new Set(), readAtMs: 0, source: "test" }),
  start: () => {},
  failure: () => undefined,
  [Symbol.asyncDispose]: async () => {},
};

export async function openKit(options: KitOptions = {}): Promise<Kit> {
  await using parts = new AsyncDisposableStack();
  const { store, journal, blobs } = options.beside?.deps ?? (await openParts(parts));
  const logLines: string[] = [];
  const heads: SignedHead[] = [];
  const gate = options.gate ?? headerGate;
  const config = loadConfig({ environment: { LOG_LEVEL: "debug", ...options.environment } });
  const deps: ApiDeps = {
    config,
    clock: systemClock,
    gate: {
      authenticate: (head, use) => {
        heads.push(head);
        return gate.authenticate(head, use);
      },
    },
    submit: options.submit ?? readingSubmit,
    validators,
    store,
    journal: { ...journal, ...options.journal },
    blobs,
    instance: {
      audience: "5Server",
      version: "0.1.0",
      image: "proctor/sandbox:latest",
      imageDigest: () => "sha256:1234",
      hostname: "host",
    },
    counts: () => batchCounts(store.db),
    readiness: options.readiness ?? { store: () => store.ping() },
    logger: createLogger({
      level: "debug",
      secrets: secretsOf(config),
      destination: { write: (line) => logLines.push(line) },
    }),
    meters: createMeters({ storeCounts: () => batchCounts(store.db) }),
    ...(options.bounds === undefined ? {} : { bounds: options.bounds }),
  };
  const listening = await createApi(deps).listen("127.0.0.1", 0);
  const kept = parts.move();
  return {
    deps,
    listening,
    url: listening.address,
    port: listening.port,
    logLines,
    heads,
    get: (path, init) => fetch(`${listening.address}${path}`, init),
    addBatch: (batch) => addBatch(deps, batch ?? {}),
    addTask: (batchId, task) => addTask(deps, batchId, task),
    append: (batchId, events, status) =>
      store.transaction(async (tx) => {
        if (status !== undefined) {
          await tx.updateTable("batches").set({ status }).where("batch_id", "=", batchId).execute();
        }
        return journal.append(tx, batchId, events);
      }),
    async [Symbol.asyncDispose]() {
      await listening.close(0);
      await kept.disposeAsync();
    },
  };
}

async function openParts(parts: AsyncDisposableStack): Promise<Pick<ApiDeps, "store" | "journal" | "blobs">> {
  const folder = await mkdtemp(join(tmpdir(), "proctor-api-"));
  parts.defer(() => rm(folder, { recursive: true, force: true }));
  const store = await openStore();
  parts.defer(() => store.close());
  await store.db
    .insertInto("archives")
    .values({ digest: digestA, size_bytes: 1, task_count: 1, submission_blob: digestA, created_at: new Date() })
    .execute();
  const journal = createJournal({ store, clock: systemClock, pollMs: 200 });
  parts.defer(() => journal.close());
  return { store, journal, blobs: await openBlobs(folder) };
}

async function addBatch({ store }: ApiDeps, batch: Partial<NewBatch>): Promise<BatchId> {
  const id = randomUUID() as BatchId;
  const { status = "running", passedTasks = 0, failedTasks = 0, createdAt = new Date() } = batch;
  const hasEnded = status === "completed" || status === "failed";
  await store.db
    .insertInto("batches")
    .values({
      batch_id: id,
      archive_digest: digestA,
      status,
      error: batch.error ?? null,
      total_tasks: batch.totalTasks ?? 2,
      concurrent_tasks: 2,
      completed_tasks: passedTasks + failedTasks,
      passed_tasks: passedTasks,
      failed_tasks: failedTasks,
      reward_sum: batch.rewardSum ?? passedTasks,
      created_at: createdAt,
      opened_at: createdAt,
      started_at: createdAt,
      finished_at: hasEnded ? new Date(createdAt.getTime() + 1_500) : null,
      duration_ms: hasEnded ? 1_500 : null,
      last_progress_at: createdAt,
    })
    .execute();
  return id;
}

async function addTask({ store, blobs }: ApiDeps, batchId: BatchId, task: NewTask): Promise<void> {
  const { status = "queued", texts = {} } = task;
  const hasEnded = status === "completed" || status === "failed";
  const passed = task.passed ?? null;
  const keep = (text: string | Buffer | undefined) => (text === undefined ? null : blobs.put(text));
  await store.db
    .insertInto("tasks")
    .values({
      batch_id: batchId,
      task_id: task.taskId,
      ordinal: task.ordinal,
      status,
      passed,
      verdict: hasEnded ? (passed === null ? "inconclusive" : passed ? "passed" : "failed") : null,
      reason: hasEnded ? (passed === null ? "infra_error" : passed ? null : "tests_failed") : null,
      reward: task.reward ?? (passed === true ? 1 : 0),
      error: task.error ?? null,
      attempt: 1,
      result:
        task.result === undefined ? null : JSON.stringify({ ...task.result, ...(await keepOutputs(blobs, task)) }),
      test_output_blob: await keep(texts.test),
      agent_output_blob: await keep(texts.agent),
      agent_patch_blob: await keep(texts.patch),
      duration_ms: hasEnded ? 1_234.5 : null,
    })
    .execute();
}

/** As scheduling/records.ts keeps them. */
async function keepOutputs(blobs: ApiDeps["blobs"], { outputs }: NewTask): Promise<{ testsBlob?: string }> {
  return outputs === undefined ? {} : { testsBlob: await blobs.put(JSON.stringify(outputs)) };
}

/** Opens a raw connection and resolves when it is up. */
export function dial(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.once("error", reject);
  });
}

/** Resolves when the connection is gone, however it went. */
export function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve();
    else socket.once("close", () => resolve());
  });
}

/** Sends raw bytes and collects everything until the server closes. */
export async function rawExchange(port: number, bytes: string | Buffer): Promise<string> {
  const socket = await dial(port);
  const pieces: Buffer[] = [];
  socket.on("data", (piece) => pieces.push(piece));
  socket.on("error", () => {});
  socket.write(bytes);
  await closed(socket);
  return Buffer.concat(pieces).toString("utf8");
}

/** A multipart form with one part `archive`. */
export function form(content: Buffer = randomBytes(64)): { body: Buffer; headers: Record<string, string> } {
  const boundary = "proctor-test";
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="archive"; filename="a.zip"\r\n\r\n`;
  return {
    body: Buffer.concat([Buffer.from(head), content, Buffer.from(`\r\n--${boundary}--\r\n`)]),
    headers: { "Content-Type": `multipart/form-data; boundary=${boundary}` },
  };
}
