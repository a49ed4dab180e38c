/** What admission's tests stand on: a clock that is moved by hand, keys, signed heads, a set that changes, a fake opener. */
import { createHash, randomBytes } from "node:crypto";
import { keyFromUri, type SigningKey, signedHeaders } from "../../../src/admission/keys.ts";
import type { BatchOpener, SignedHead, ValidatorSet, ValidatorSnapshot } from "../../../src/admission/port.ts";
import type { Submission, TaskSpec } from "../../../src/archive/submission.ts";
import type { Clock } from "../../../src/kernel/clock.ts";
import type { BatchId, Digest, PublicKeyHex, TaskId } from "../../../src/kernel/ids.ts";
import type { Store, Tx } from "../../../src/store/port.ts";
import { recordArchive } from "../../../src/store/tables/archives.ts";

export const alice = keyFromUri("//Alice");
export const bob = keyFromUri("//Bob");
export const charlie = keyFromUri("//Charlie");
export const audience = keyFromUri("//Server").hotkey;

/** n different keys, cheap: nobody signs with them. */
export function someKeys(count: number): readonly PublicKeyHex[] {
  return Array.from({ length: count }, (_, index) => digestOf(`key ${index}`) as string as PublicKeyHex);
}

export function digestOf(text: string): Digest {
  return createHash("sha256").update(text).digest("hex") as Digest;
}

export function freshDigest(): Digest {
  return randomBytes(32).toString("hex") as Digest;
}

/** A clock that stands still until moved; whoever sleeps is woken when its time has come. */
export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs = 0;
  readonly #sleepers = new Set<{ readonly atMs: number; readonly wake: () => void }>();
  /** how long each sleep was asked to last */
  readonly sleeps: number[] = [];
  readonly #wakesAtOnce: boolean;

  constructor(wallMs = Date.UTC(2026, 0, 1), wakesAtOnce = false) {
    this.#wallMs = wallMs;
    this.#wakesAtOnce = wakesAtOnce;
  }

  now(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    this.sleeps.push(ms);
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#wakesAtOnce) {
      this.advance(ms);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const sleeper = { atMs: this.#monotonicMs + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  }

  advance(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.atMs > this.#monotonicMs) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }

  /** Moves the wall clock alone, as an administrator or NTP does. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }
}

/** A validator set that tests change. */
export class TestSet implements ValidatorSet {
  keys: ReadonlySet<PublicKeyHex>;
  isReady = true;

  constructor(...keys: readonly (PublicKeyHex | SigningKey)[]) {
    this.keys = new Set(keys.map((key) => (typeof key === "string" ? key : key.publicKey)));
  }

  current(): ValidatorSnapshot | undefined {
    return this.isReady ? { keys: this.keys, readAtMs: 0, source: "test" } : undefined;
  }

  async refresh(): Promise<ValidatorSnapshot> {
    return { keys: this.keys, readAtMs: 0, source: "test" };
  }

  start(): void {}

  failure(): undefined {
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

export interface HeadOptions {
  readonly key?: SigningKey;
  readonly version?: 1 | 2;
  readonly nowMs?: number;
  readonly nonce?: string;
  readonly remoteAddress?: string;
  readonly concurrentTasks?: number;
}

/** The head of a rightly signed submission. */
export function signedHead(options: HeadOptions = {}): SignedHead {
  const { key = alice, version = 1, nowMs, nonce, remoteAddress = "192.0.2.1", concurrentTasks } = options;
  const request = { method: "POST", path: "/submit" };
  const sent = signedHeaders({
    key,
    version,
    audience,
    ...request,
    bodyDigest: digestOf("body"),
    ...(nowMs === undefined ? {} : { nowMs }),
    ...(nonce === undefined ? {} : { nonce }),
    ...(concurrentTasks === undefined ? {} : { concurrentTasks }),
  });
  return {
    hotkey: [sent["X-Hotkey"]],
    nonce: [sent["X-Nonce"]],
    signature: [sent["X-Signature"]],
    ...request,
    concurrentTasks: concurrentTasks?.toString(),
    remoteAddress,
  };
}

export function submissionOf(archiveDigest: Digest, taskCount = 1): Submission {
  const tasks = Array.from(
    { length: taskCount },
    (_, index): TaskSpec => ({
      taskId: `task-${index}` as TaskId,
      repoUrl: "https://github.com/owner/name.git",
      repo: "owner/name",
      prompt: "mend it",
      install: [],
      installDir: ".",
      toolVersions: {},
      judges: [],
      testFiles: [],
      judgedBy: "none",
    }),
  );
  const agent = {
    digest: digestOf("agent"),
    language: "python",
    entry: "agent.py",
    requirements: [],
    sizeBytes: 1,
  } as const;
  return { archiveDigest, tasks, agent };
}

/** An archive that was received: its row is there, as intake leaves it. */
export async function receivedArchive(store: Store, taskCount = 1): Promise<Submission> {
  const digest = freshDigest();
  const submissionBlob = digestOf("blob");
  await recordArchive(store.db, { digest, sizeBytes: 1, taskCount, submissionBlob, createdAt: new Date() });
  return submissionOf(digest, taskCount);
}

/** Opens batches as scheduling would, and remembers which. */
export class FakeOpener implements BatchOpener {
  hasSpace = true;
  readonly opened: { readonly batchId: BatchId; readonly digest: Digest; readonly concurrentTasks: number }[] = [];

  async hasRoom(): Promise<boolean> {
    return this.hasSpace;
  }

  async open(tx: Tx, batchId: BatchId, submission: Submission, concurrentTasks: number): Promise<void> {
    await tx.updateTable("batches").set({ status: "extracting" }).where("batch_id", "=", batchId).execute();
    this.opened.push({ batchId, digest: submission.archiveDigest, concurrentTasks });
  }
}
