/** The wire, body by body, against the files of test/golden: names, order of keys, enum strings, messages. */
import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { batchListToWire, batchListWire, batchToWire, batchWire, snapshotToWire } from "../../src/api/wire/batch.ts";
import { contractMessages, errorAnswer, errorWire } from "../../src/api/wire/error.ts";
import { eventToWire, eventWire, snapshotEvent, streamClosedEvent } from "../../src/api/wire/event.ts";
import { instanceToWire, instanceWire, statusToWire, statusWire } from "../../src/api/wire/status.ts";
import { pendingWire, startedWire, submitToWire } from "../../src/api/wire/submit.ts";
import { taskListItemToWire, taskToWire, testsToWire } from "../../src/api/wire/task.ts";
import { verifyToWire, verifyWire } from "../../src/api/wire/verify.ts";
import { eventNames, type JournalEvent } from "../../src/journal/events.ts";
import { AppError, catalogue, type ErrorCode } from "../../src/kernel/errors.ts";
import type { BatchRow } from "../../src/store/tables/batches.ts";
import type { TaskRow } from "../../src/store/tables/tasks.ts";
import { pendingVote } from "./kit.ts";

const at = new Date(1_700_000_000_000);
const later = new Date(1_700_000_090_000);

const batch: BatchRow = {
  batch_id: pendingVote.batchId,
  archive_digest: pendingVote.archiveDigest,
  status: "completed",
  error: null,
  total_tasks: 2,
  concurrent_tasks: 8,
  completed_tasks: 2,
  passed_tasks: 1,
  failed_tasks: 1,
  reward_sum: 1,
  results_hash: null,
  duration_ms: 90_000,
  created_at: at,
  opened_at: at,
  started_at: at,
  finished_at: later,
  last_progress_at: later,
  head_seq: 12,
  head_hash: "0".repeat(64),
  claim_base: null,
};

const task: TaskRow = {
  batch_id: batch.batch_id,
  task_id: "py/fix-sum",
  ordinal: 0,
  status: "failed",
  passed: false,
  verdict: "failed",
  reason: "tests_failed",
  reward: 0,
  error: null,
  attempt: 1,
  job_id: null,
  spec_blob: null,
  result: {
    phases: [
      { phase: "clone", durationMs: 10, cached: true },
      {
        phase: "tests",
        durationMs: 20,
        cached: false,
        outcome: { kind: "exited", exitCode: 1 },
        usage: { cpuMs: 15, memoryPeakBytes: 4096 },
        network: [
          {
            host: "git.example",
            port: 443,
            allowed: false,
            reason: "not_listed",
            connections: 2,
            bytesUp: 0,
            bytesDown: 0,
          },
        ],
      },
    ],
    tests: [
      { name: "fail_to_pass_1", passed: false, exitCode: 1 },
      { name: "fail_to_pass_2", passed: false },
    ],
    agentOutput: { totalBytes: 2_000_000, truncated: true },
    testOutput: { totalBytes: 13, truncated: false },
    agentPatch: { totalBytes: 0, truncated: false },
    notes: ["output was cut"],
    unguarded: ["fail_to_pass_2"],
    agentExitCode: 0,
    baseCommit: "1".repeat(40),
    runtime: "runc",
    grading: "clean",
    policy: { id: "all_pass", version: 1, hash: "2".repeat(64) },
  },
  agent_output_blob: null,
  test_output_blob: null,
  agent_patch_blob: null,
  duration_ms: 31,
  started_at: at,
  finished_at: at,
};
const passedTask: TaskRow = {
  ...task,
  task_id: "js/add",
  ordinal: 1,
  status: "completed",
  passed: true,
  verdict: "passed",
  reason: null,
  reward: 1,
  result: null,
};

const running = {
  instance: {
    audience: "5Server",
    version: "0.1.0",
    image: "proctor/sandbox:latest",
    imageDigest: () => null,
    hostname: "h",
  },
  uptimeMs: 61_500,
  maxConcurrentTasks: 8,
};
const counts = { active: 1, total: 3, completed: 2, tasksTotal: 6, tasksPassed: 4, tasksFailed: 2, durationMsSum: 9 };

const eventData: Record<(typeof eventNames)[number], JournalEvent["data"]> = {
  batch_started: { total_tasks: 2, concurrent_limit: 8 },
  task_started: { task_id: "py/fix-sum" },
  task_phase: { phase: "agent", state: "started" },
  log: { phase: "agent", stream: "stdout", text: "hello\n" },
  task_retry: { attempt: 2 },
  task_complete: { task_id: "py/fix-sum", status: "failed", passed: false, reward: 0 },
  batch_complete: { status: "completed", total: 2, passed: 1, failed: 1, reward: 0.5, duration_ms: 90_000 },
};
const events = eventNames.map((event, i): JournalEvent => {
  const taskId = event.startsWith("task") || event === "log" ? "py/fix-sum" : null;
  return { batchId: batch.batch_id, seq: i + 1, at, event, taskId, data: eventData[event] };
});

const bodies: readonly { readonly name: string; readonly schema: v.GenericSchema; readonly body: unknown }[] = [
  { name: "submit-pending", schema: pendingWire, body: submitToWire(pendingVote) },
  {
    name: "submit-started",
    schema: startedWire,
    body: submitToWire({ ...pendingVote, state: "started", votes: 2, concurrentTasks: 8, repeated: true }),
  },
  { name: "batch", schema: batchWire, body: batchToWire(batch, [task, passedTask]) },
  { name: "batches", schema: batchListWire, body: batchListToWire([batch]) },
  { name: "task-head", schema: v.looseObject({}), body: taskToWire(task, "full") },
  { name: "task-head-summary", schema: v.looseObject({}), body: taskToWire(task, "summary") },
  { name: "task-head-none", schema: v.looseObject({}), body: taskToWire(task, "none") },
  { name: "task-tests-head", schema: v.looseObject({}), body: testsToWire(task, "full") },
  { name: "tasks-item-head", schema: v.looseObject({}), body: taskListItemToWire(task, "full") },
  {
    name: "verify",
    schema: verifyWire,
    body: verifyToWire(batch, [task, passedTask], { version: "0.1.0", uptimeMs: 61_500 }),
  },
  { name: "status", schema: statusWire, body: statusToWire(counts, running) },
  { name: "instance", schema: instanceWire, body: instanceToWire(running, 100) },
  {
    name: "events",
    schema: v.array(eventWire),
    body: [
      snapshotEvent(batch.batch_id, 12, at, snapshotToWire(batch, [task])),
      ...events.map((event) => eventToWire(event, "full")),
      streamClosedEvent(batch.batch_id, 12, at, "batch_ended"),
    ],
  },
];

describe("bodies", () => {
  it.each(bodies)("$name", async ({ name, schema, body }) => {
    v.parse(schema, body);
    await expect(`${JSON.stringify(body, null, 2)}\n`).toMatchFileSnapshot(`../golden/${name}.json`);
  });
});

describe("errors", () => {
  const answer = (code: ErrorCode) =>
    errorAnswer(new AppError(code, `said of ${code}`), { archiveBytesMax: 524_288_000, requestId: "R1" });

  it("every code: status, message, Retry-After", async () => {
    const table = (Object.keys(catalogue) as ErrorCode[]).map((code) => {
      const { status, body, headers } = answer(code);
      v.parse(errorWire, body);
      return [status, code, body.message, ...Object.entries(headers).map((pair) => pair.join(": "))].join(" | ");
    });
    await expect(`${table.join("\n")}\n`).toMatchFileSnapshot("../golden/errors.txt");
  });

  it("the contract's messages stand whatever a room says, whose words become the reason", () => {
    for (const code of Object.keys(contractMessages) as ErrorCode[]) {
      const { body, status } = answer(code);
      expect(body.message).toBe(contractMessages[code]?.replace("{n}", "524288000"));
      if (status < 500) expect(body.reason).toBe(`said of ${code}`);
    }
  });

  it.each([
    ["a stack", new Error("boom at /srv/proctor/src/x.ts:1:2")],
    [
      "a path",
      new AppError("sandbox_failed", "/var/run/docker.sock: container 3f4e5d6c7b8a gone", {
        details: { path: "/var" },
      }),
    ],
    ["not even an error", "thrown text /etc/passwd"],
  ])("H08: 5xx carries no %s", (_, thrown) => {
    const { status, body } = errorAnswer(thrown, { archiveBytesMax: 1, requestId: "R1" });
    expect(status).toBe(500);
    expect(JSON.stringify(body)).not.toMatch(/\/var|\/etc|\/work|3f4e5d|boom/);
    expect(body.request_id).toBe("R1");
  });

  it("a message is one line of bounded length", () => {
    const { body } = errorAnswer(new AppError("invalid_request", `a\r\nb\u0000${"c".repeat(9_000)}`), {
      archiveBytesMax: 1,
      requestId: "R1",
    });
    expect(body.message.startsWith("a b ccc")).toBe(true);
    expect(body.message.length).toBeLessThan(520);
  });
});
