/** What the tests of this room share: tasks, agents, harvest records, a kept-environment record in memory. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { AgentSpec, TaskSpec } from "../../src/archive/submission.ts";
import { loadConfig } from "../../src/config.ts";
import type { KeptEnvironment, KeptEnvironments } from "../../src/evaluation/kept-environments.ts";
import type { AttemptInput, AttemptReporter } from "../../src/evaluation/port.ts";
import type { SanityRecord, SanityRecords } from "../../src/evaluation/sanity-records.ts";
import type { BatchId, Digest, TaskId } from "../../src/kernel/ids.ts";
import type { BlobStore } from "../../src/store/port.ts";

export const BASE_COMMIT = "a".repeat(40);
export const TREE_HASH = "b".repeat(40);

export function taskOf(changes: Partial<TaskSpec> = {}): TaskSpec {
  return {
    taskId: "owner/name-1" as TaskId,
    repoUrl: "file:///srv/git/owner+name/repo",
    repo: "owner/name",
    baseCommit: BASE_COMMIT,
    prompt: "Make it work.\n",
    install: [],
    installDir: ".",
    toolVersions: {},
    judges: [{ name: "fail_to_pass_1", script: "bash tests/run.sh", workingDir: "." }],
    testFiles: [],
    judgedBy: "tests",
    ...changes,
  };
}

export function agentOf(changes: Partial<AgentSpec> = {}): AgentSpec {
  return {
    digest: createHash("sha256").update("agent").digest("hex") as Digest,
    language: "shell",
    entry: "agent.sh",
    requirements: [],
    sizeBytes: 10,
    ...changes,
  };
}

export function inputOf(task: TaskSpec = taskOf(), agent: AgentSpec = agentOf()): AttemptInput {
  return { batchId: "11111111-1111-4111-8111-111111111111" as BatchId, attempt: 1, task, agent };
}

export const configOf = (environment: Record<string, string> = {}) =>
  loadConfig({ environment: { SANITY_CHECK: "required", NETWORK_INSTALL: "allow-list", ...environment } });

/** One record of the harvest program. */
export function record(kind: string, path: string | Buffer, content: string | Buffer = ""): Buffer {
  const pathBytes = Buffer.from(path);
  const contentBytes = Buffer.from(content);
  const head = Buffer.alloc(5);
  head.write(kind, "latin1");
  head.writeUInt32LE(pathBytes.length, 1);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(contentBytes.length));
  return Buffer.concat([head, pathBytes, size, contentBytes]);
}

export function endRecord(isTruncated = false): Buffer {
  return record("E", "", Buffer.concat([Buffer.alloc(24), Buffer.from([isTruncated ? 1 : 0])]));
}

export class RecordingReporter implements AttemptReporter {
  readonly phases: string[] = [];
  readonly logs: string[] = [];
  /** when each phase's state or the first line of its output was told, ms */
  readonly times = new Map<string, number>();

  phase(...[phase, state, detail]: Parameters<AttemptReporter["phase"]>): void {
    this.times.set(`${phase} ${state}`, performance.now());
    this.phases.push(`${phase} ${state}${detail?.cached === true ? " cached" : ""}`);
  }

  log(...[phase, , text]: Parameters<AttemptReporter["log"]>): void {
    if (!this.times.has(phase)) this.times.set(phase, performance.now());
    this.logs.push(`${phase}: ${text}`);
  }
}

export function keptInMemory(): KeptEnvironments & {
  readonly rows: Map<string, KeptEnvironment & { usedAt: number }>;
} {
  const rows = new Map<string, KeptEnvironment & { usedAt: number }>();
  let serial = 0;
  return {
    rows,
    find: async (key) => rows.get(key),
    put: async (environment) => {
      serial += 1;
      rows.set(environment.key, { ...environment, usedAt: serial });
    },
    touch: async (key) => {
      const row = rows.get(key);
      serial += 1;
      if (row !== undefined) row.usedAt = serial;
    },
    list: async (limitCount) => [...rows.values()].sort((a, b) => a.usedAt - b.usedAt).slice(0, limitCount),
    remove: async (key) => {
      rows.delete(key);
    },
  };
}

/** A record in memory. `presumed`: every task is sound, so that a test of something else needs no sound task. */
export function sanityInMemory(
  how: "presumed" | "checked",
): SanityRecords & { readonly rows: Map<string, SanityRecord> } {
  const rows = new Map<string, SanityRecord>();
  const sound = { isSound: true, hasReference: true, detail: "", selfChanged: [], guards: [], checkedAtMs: 0 };
  return {
    rows,
    find: async (key, digest) => rows.get(`${key} ${digest}`) ?? (how === "presumed" ? sound : undefined),
    put: async (key, digest, record) => {
      rows.set(`${key} ${digest}`, record);
    },
  };
}

export function blobsInMemory(): BlobStore & { readonly kept: Map<string, Buffer> } {
  const kept = new Map<string, Buffer>();
  const unused = () => Promise.reject(new Error("not used here"));
  return {
    kept,
    put: async (bytes) => {
      const content = Buffer.from(bytes);
      const digest = createHash("sha256").update(content).digest("hex");
      kept.set(digest, content);
      return digest;
    },
    adopt: unused,
    get: async (digest) => kept.get(digest),
    stream: async (digest) => Readable.from([kept.get(digest) ?? Buffer.alloc(0)]),
    path: (digest) => `/nowhere/${digest}`,
    has: async (digest) => kept.has(digest),
    remove: async (digest) => {
      kept.delete(digest);
    },
  };
}
