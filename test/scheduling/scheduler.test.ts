import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { verifyChain } from "../../src/journal/chain.ts";
import { AppError } from "../../src/kernel/errors.ts";
import { deferred } from "../../src/kernel/signals.ts";
import type { AttemptEndedFacts } from "../../src/scheduling/hooks.ts";
import { readResult } from "../../src/scheduling/records.ts";
import { openStore } from "../../src/store/open.ts";
import type { Store } from "../../src/store/port.ts";
import { batchCounts, findBatch } from "../../src/store/tables/batches.ts";
import { findTask, listAttempts, listTasks } from "../../src/store/tables/tasks.ts";
import { type Evaluate, gated, resultOf, startKit } from "./kit.ts";

let store: Store;
beforeAll(async () => {
  store = await openStore();
}, 60_000);
afterAll(() => store.close());

test("a batch from its quorum to its end: events, rows, counts, hash chain", async () => {
  const evaluate: Evaluate = async ({ task }, reporter) => {
    reporter.phase("clone", "started");
    reporter.log("clone", "stdout", `cloning ${task.taskId}\n`);
    reporter.phase("tests", "started");
    if (task.taskId === "t1") return resultOf({ verdict: "failed", reason: "tests_failed", reward: 0 });
    if (task.taskId === "t2")
      return resultOf({ verdict: "inconclusive", reason: "no_tests", error: "no test command" });
    return resultOf({});
  };
  await using kit = await startKit({ store, evaluate });
  const before = await batchCounts(store.db);
  const id = await kit.openBatch(3, 99);
  const events = await kit.untilComplete(id);

  expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
  expect(events[0]).toMatchObject({ event: "batch_started", data: { total_tasks: 3, concurrent_limit: 4 } });
  const complete = Object.fromEntries(
    events.filter((event) => event.event === "task_complete").map((event) => [event.taskId, event.data]),
  );
  expect(complete).toMatchObject({
    t0: { task_id: "t0", status: "completed", passed: true, reward: 1, verdict: "passed", reason: null },
    t1: { status: "failed", passed: false, reward: 0, verdict: "failed", reason: "tests_failed" },
    t2: { status: "failed", passed: null, reward: 0, verdict: "inconclusive", reason: "no_tests" },
  });
  expect(events.at(-1)).toMatchObject({
    event: "batch_complete",
    data: { status: "completed", total: 3, passed: 1, failed: 2, reward: 1 / 3 },
  });
  for (const taskId of ["t0", "t1", "t2"]) {
    const own = events.filter((event) => event.taskId === taskId).map((event) => event.event);
    expect(own).toEqual(["task_started", "task_phase", "log", "task_phase", "task_complete"]);
  }
  const batch = await findBatch(store.db, id);
  expect(batch).toMatchObject({ status: "completed", completed_tasks: 3, passed_tasks: 1, failed_tasks: 2 });
  const rows = await store.db.selectFrom("journal").selectAll().where("batch_id", "=", id).orderBy("seq").execute();
  expect(verifyChain(rows)).toEqual({ ok: true, headSeq: batch?.head_seq, headHash: batch?.head_hash });
  const after = await batchCounts(store.db);
  expect(after).toMatchObject({
    active: 0,
    total: before.total + 1,
    completed: before.completed + 1,
    tasksTotal: before.tasksTotal + 3,
    tasksPassed: before.tasksPassed + 1,
    tasksFailed: before.tasksFailed + 2,
  });
});

test("hostile texts are kept and read back; NUL and half surrogates don't stop a verdict (R06)", async () => {
  const nasty = 'a\0b\ud800c "\\ \u2028 😀';
  const text = (value: string) => ({ text: value, totalBytes: 99, truncated: true });
  const result = resultOf({
    verdict: "failed",
    reason: "tests_failed",
    reward: 0,
    error: nasty,
    notes: [nasty],
    tests: [{ name: nasty, passed: false, output: "out\0put", exitCode: 1 }],
    agentOutput: text("agent 😀"),
    testOutput: text("tests"),
    agentPatch: text("diff\0"),
  });
  await using kit = await startKit({ store, evaluate: async () => result });
  const id = await kit.openBatch(1);
  await kit.untilComplete(id);
  const row = await findTask(store.db, id, "t0");
  if (row === undefined) throw new Error("no row");
  expect(row.error).toBe('a\ufffdb\ufffdc "\\ \u2028 😀');
  expect(await readResult(kit.blobs, row)).toMatchObject({
    agentOutput: text("agent 😀"),
    agentPatch: text("diff\0"),
    tests: [{ passed: false, output: "out\0put", exitCode: 1 }],
    notes: ['a\ufffdb\ufffdc "\\ \u2028 😀'],
  });
});

describe("platform faults", () => {
  test("two faults, then a verdict: retried with events, attempts on record (F05)", async () => {
    const ended: AttemptEndedFacts[] = [];
    const evaluate: Evaluate = async ({ attempt }) => {
      if (attempt < 3) throw new AppError("sandbox_failed", "container 1234 vanished");
      return resultOf({});
    };
    await using kit = await startKit({ store, evaluate, hooks: { attemptEnded: (facts) => ended.push(facts) } });
    const id = await kit.openBatch(1);
    const events = await kit.untilComplete(id);
    expect(events.filter((event) => event.event === "task_retry").map((event) => event.data)).toMatchObject([
      { attempt: 1, reason: "sandbox_failed" },
      { attempt: 2, reason: "sandbox_failed" },
    ]);
    expect(events.at(-1)?.data).toMatchObject({ passed: 1 });
    const attempts = await listAttempts(store.db, id, "t0");
    expect(attempts.map((attempt) => attempt.state)).toEqual(["fault", "fault", "judged"]);
    expect(ended.map((facts) => facts.end)).toEqual(["retried", "retried", "judged"]);
  });

  test("five faults: inconclusive, never scored, nothing of the inside is told (H08)", async () => {
    const evaluate: Evaluate = async () => {
      throw new Error("ENOENT /var/lib/secret/4f3c9b1d7e2a container 4f3c9b1d7e2a");
    };
    await using kit = await startKit({ store, evaluate });
    const id = await kit.openBatch(1);
    const events = await kit.untilComplete(id);
    const [task] = await listTasks(store.db, id);
    expect(task).toMatchObject({
      status: "failed",
      verdict: "inconclusive",
      reason: "infra_error",
      passed: null,
      reward: 0,
      attempt: 5,
    });
    expect(task?.error).toContain("internal, 5 attempts");
    expect(JSON.stringify(events) + task?.error).not.toMatch(/secret|4f3c9b|ENOENT/);
    expect(events.at(-1)?.data).toMatchObject({ status: "completed", failed: 1 });
  });

  test("what no retry can mend is tried once", async () => {
    const evaluate: Evaluate = async () => {
      throw new AppError("image_missing", "no image");
    };
    await using kit = await startKit({ store, evaluate });
    const id = await kit.openBatch(1);
    await kit.untilComplete(id);
    expect(await listAttempts(store.db, id, "t0")).toHaveLength(1);
  });
});

describe("many batches", () => {
  test("C06: a quorum while others run waits for its turn and is never lost", async () => {
    const { gate, evaluate } = gated();
    await using kit = await startKit({ store, evaluate, config: { MAX_ACTIVE_BATCHES: 1 } });
    const first = await kit.openBatch(1);
    await gate(`${first}/t0`).begun.promise;
    const second = await kit.openBatch(1);
    const third = await kit.openBatch(1);
    expect(await findBatch(store.db, second)).toMatchObject({ status: "pending" });
    expect(kit.scheduler.isRunning(first, "t0", 1)).toBe(true);
    gate(`${first}/t0`).go.resolve();
    await gate(`${second}/t0`).begun.promise;
    expect(await findBatch(store.db, third)).toMatchObject({ status: "pending" });
    gate(`${second}/t0`).go.resolve();
    gate(`${third}/t0`).go.resolve();
    await kit.untilComplete(third);
    expect(kit.scheduler.isRunning(first, "t0", 1)).toBe(false);
  });

  test("one task beside a batch of many is next, not last", async () => {
    const order: string[] = [];
    const firstBegun = deferred();
    const evaluate: Evaluate = async ({ batchId }) => {
      order.push(batchId);
      firstBegun.resolve();
      await sleep(1);
      return resultOf({});
    };
    await using kit = await startKit({ store, evaluate, config: { MAX_CONCURRENT_TASKS: 2 } });
    const many = await kit.openBatch(150);
    await firstBegun.promise;
    const one = await kit.openBatch(1);
    await kit.untilComplete(one);
    const waited = order.indexOf(one);
    expect(waited).toBeLessThan(75);
    await kit.untilComplete(many);
    expect(order.filter((id) => id === many)).toHaveLength(150);
  });

  test("no more than concurrent_tasks of a batch and MAX_CONCURRENT_TASKS in all", async () => {
    let all = 0;
    let allMax = 0;
    const now = new Map<string, number>();
    const max = new Map<string, number>();
    const evaluate: Evaluate = async ({ batchId }) => {
      now.set(batchId, (now.get(batchId) ?? 0) + 1);
      max.set(batchId, Math.max(max.get(batchId) ?? 0, now.get(batchId) ?? 0));
      all += 1;
      allMax = Math.max(allMax, all);
      await sleep(5);
      all -= 1;
      now.set(batchId, (now.get(batchId) ?? 0) - 1);
      return resultOf({});
    };
    await using kit = await startKit({ store, evaluate, config: { MAX_CONCURRENT_TASKS: 4 } });
    const [one, two, three] = [await kit.openBatch(10, 1), await kit.openBatch(10, 2), await kit.openBatch(10, 4)];
    await Promise.all([one, two, three].map((id) => kit.untilComplete(id ?? "")));
    expect(max.get(one ?? "")).toBe(1);
    expect(max.get(two ?? "")).toBe(2);
    expect(allMax).toBe(4);
  });

  test("hasRoom counts what was approved and has not ended", async () => {
    const { gate, evaluate } = gated();
    await using kit = await startKit({ store, evaluate, config: { MAX_QUEUED_TASKS: 3 } });
    const room = (count: number) => store.transaction((tx) => kit.scheduler.hasRoom(tx, count));
    expect(await room(3)).toBe(true);
    expect(await room(4)).toBe(false);
    const id = await kit.openBatch(2);
    expect(await room(1)).toBe(true);
    expect(await room(2)).toBe(false);
    gate(`${id}/t0`).go.resolve();
    gate(`${id}/t1`).go.resolve();
    await kit.untilComplete(id);
    expect(await room(3)).toBe(true);
  });
});
