/** Reads against the embedded store, over real TCP: every route's status, type and body. */
import { createHash } from "node:crypto";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { batchListWire, batchWire } from "../../src/api/wire/batch.ts";
import { healthWire, instanceWire, readyWire, statusWire } from "../../src/api/wire/status.ts";
import { taskListWire, taskWire } from "../../src/api/wire/task.ts";
import { verifyWire } from "../../src/api/wire/verify.ts";
import type { BatchId } from "../../src/kernel/ids.ts";
import { type Kit, openKit } from "./kit.ts";

const result = {
  verdict: "failed",
  reason: "tests_failed",
  phases: [
    { phase: "clone", durationMs: 12, cached: true },
    {
      phase: "agent",
      durationMs: 900,
      cached: false,
      outcome: { kind: "timedOut", limitMs: 900 },
      usage: { cpuMs: 5, memoryPeakBytes: 7 },
    },
  ],
  tests: [
    { name: "fail_to_pass_1", passed: false, exitCode: 1 },
    { name: "fail_to_pass_2", passed: false },
  ],
  agentOutput: { totalBytes: 99, truncated: true },
  notes: ["output was cut"],
};

let kit: Kit;
let ended: BatchId;
let running: BatchId;

beforeAll(async () => {
  kit = await openKit();
  ended = await kit.addBatch({
    status: "completed",
    passedTasks: 1,
    failedTasks: 1,
    createdAt: new Date(1_700_000_000_000),
  });
  running = await kit.addBatch({ createdAt: new Date(1_700_000_100_000) });
  await kit.addTask(ended, {
    taskId: "b/second task ü",
    ordinal: 0,
    status: "failed",
    passed: false,
    result,
    outputs: ['no\u0000pe, \\"quoted\\" 😀', "second"],
  });
  await kit.addTask(ended, {
    taskId: "a",
    ordinal: 1,
    status: "completed",
    passed: true,
    texts: { test: Buffer.from([0x61, 0xff, 0x00, 0x1b, 0x5b]), agent: "😀", patch: "diff\n" },
  });
  await kit.addTask(running, { taskId: "a", ordinal: 0, status: "running_agent" });
}, 60_000);
afterAll(() => kit[Symbol.asyncDispose](), 60_000);

describe("about the server", () => {
  const routes = [
    { path: "/health", schema: healthWire },
    { path: "/ready", schema: readyWire },
    { path: "/status", schema: statusWire },
    { path: "/instance", schema: instanceWire },
  ];
  it.each(routes)("$path", async ({ path, schema }) => {
    const answer = await kit.get(path);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
    v.parse(schema, await answer.json());
  });

  it("/status counts what the store keeps", async () => {
    expect(await (await kit.get("/status")).json()).toMatchObject({
      active_batches: 1,
      total_batches: 2,
      completed_batches: 1,
      tasks_passed: 1,
      tasks_failed: 1,
      max_concurrent_tasks: 8,
      has_active_batch: true,
    });
  });

  it("/metrics is Prometheus text 0.0.4 with the seven names", async () => {
    const answer = await kit.get("/metrics");
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const text = await answer.text();
    for (const line of [
      "# TYPE term_executor_batches_total counter\nterm_executor_batches_total 2",
      "# TYPE term_executor_batches_active gauge\nterm_executor_batches_active 1",
      "# TYPE term_executor_batches_completed counter\nterm_executor_batches_completed 1",
      "# TYPE term_executor_tasks_total counter\nterm_executor_tasks_total 2",
      "# TYPE term_executor_tasks_passed counter\nterm_executor_tasks_passed 1",
      "# TYPE term_executor_tasks_failed counter\nterm_executor_tasks_failed 1",
      "# TYPE term_executor_duration_ms_sum counter\nterm_executor_duration_ms_sum 1500",
    ]) {
      expect(text).toContain(line);
    }
    expect(text, "our own stand under our prefix").toMatch(/proctor_http_request_duration_seconds_bucket/);
  });
});

describe("batches", () => {
  it("/batch/{id} has counts, reward and task summaries", async () => {
    const body = v.parse(batchWire, await (await kit.get(`/batch/${ended}`)).json());
    expect(body).toMatchObject({ status: "completed", aggregate_reward: 0.5, error: null, duration_ms: 1500 });
    expect(body.tasks.map(({ task_id, passed }) => [task_id, passed])).toEqual([
      ["b/second task ü", false],
      ["a", true],
    ]);
  });

  it("aggregate_reward is 0 until the end", async () => {
    expect(await (await kit.get(`/batch/${running}`)).json()).toMatchObject({ aggregate_reward: 0, duration_ms: null });
  });

  it("an upper-case id is the same id", async () => {
    expect((await kit.get(`/batch/${ended.toUpperCase()}`)).status).toBe(200);
  });

  it("/batches is newest first, in pages that a Link header joins", async () => {
    const first = await kit.get("/batches?limit=1");
    expect(v.parse(batchListWire, await first.json()).map((entry) => entry.batch_id)).toEqual([running]);
    const next = /<([^>]+)>; rel="next"/.exec(first.headers.get("link") ?? "")?.[1] ?? "";
    const second = await kit.get(next);
    expect(await second.json()).toEqual([
      { batch_id: ended, created_at: "2023-11-14T22:13:20.000Z", status: "completed" },
    ]);
    expect(second.headers.get("link")).toBeNull();
  });

  it.each(["limit=0", "limit=501", "limit=x", "limit=", "limit=1&limit=2", "before=1", `before=${"0".repeat(9)}`])(
    "/batches?%s is refused by name",
    async (query) => {
      const answer = await kit.get(`/batches?${query}`);
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({
        error: "invalid_request",
        message: expect.stringMatching(/limit|before/),
      });
    },
  );

  it("/verify/{id} hashes the results as the contract says", async () => {
    const body = v.parse(verifyWire, await (await kit.get(`/verify/${ended}`)).json());
    const one = Buffer.alloc(8);
    one.writeDoubleLE(1);
    const expected = createHash("sha256")
      .update(ended)
      .update("a1")
      .update(one)
      .update("b/second task ü0")
      .update(Buffer.alloc(8))
      .digest("hex");
    expect(body.results_hash).toBe(expected);
  });

  it("/verify/{id} is 409 while it runs", async () => {
    const answer = await kit.get(`/verify/${running}`);
    expect([answer.status, await answer.json()]).toEqual([
      409,
      { error: "not_finished", message: expect.any(String), status: "running" },
    ]);
  });
});

describe("tasks", () => {
  it.each([
    ["escaped", "b%2Fsecond%20task%20%C3%BC"],
    ["unescaped slash", "b/second%20task%20%C3%BC"],
  ])("a task id with slash, space and umlaut, %s", async (_, path) => {
    const answer = await kit.get(`/batch/${ended}/task/${path}`);
    expect(answer.status).toBe(200);
    const body = v.parse(taskWire, await answer.json());
    expect(body).toMatchObject({
      task_id: "b/second task ü",
      status: "failed",
      passed: false,
      verdict: "failed",
      reason: "tests_failed",
      error: null,
      truncated: true,
      agent_output_bytes: 99,
      test_results: [
        { name: "fail_to_pass_1", passed: false, exit_code: 1, output: 'no\u0000pe, \\"quoted\\" 😀' },
        { name: "fail_to_pass_2", passed: false, exit_code: null, output: "second" },
      ],
    });
    expect(body.phases[1]).toMatchObject({ phase: "agent", outcome: "timed_out", cpu_ms: 5, memory_peak_bytes: 7 });
  });

  it("R06: outputs with invalid UTF-8, NUL and ANSI are valid JSON", async () => {
    const body = v.parse(taskListWire, await (await kit.get(`/batch/${ended}/tasks`)).json());
    expect(body.tasks[1]).toMatchObject({
      test_output: "a\ufffd\u0000\u001b[",
      agent_output: "😀",
      agent_patch: "diff\n",
    });
    expect(body.tasks[0]).toMatchObject({ test_output: "", agent_output: "", agent_patch: "" });
  });

  it("HEAD has the head alone", async () => {
    const answer = await kit.get(`/batch/${ended}/tasks`, { method: "HEAD" });
    expect([answer.status, await answer.text()]).toEqual([200, ""]);
  });

  it("an unknown task is 404", async () => {
    const answer = await kit.get(`/batch/${ended}/task/nope`);
    expect([answer.status, await answer.json()]).toMatchObject([404, { error: "not_found" }]);
  });
});

describe("H06: odd addresses", () => {
  const odd = [
    "/batch/nope",
    "/batch/%00",
    "/batch/<script>alert(1)</script>",
    "/batch/1' OR '1'='1",
    "/batch/%E0%A4%A",
    `/batch/${"9".repeat(400)}`,
    "/verify/..%2f..%2fetc%2fpasswd",
    "/batch/%2e%2e/tasks",
    "/batch/nope/events",
    "/nothing/here",
    "/batch/0b5f9b1e-6d2b-4f52-9d0a-4a5b0c1d2e3f",
    "/batch/0b5f9b1e-6d2b-4f52-9d0a-4a5b0c1d2e3f/task/%ff",
    "/batch/0b5f9b1e-6d2b-4f52-9d0a-4a5b0c1d2e3f/task/%00",
    "/batch/0b5f9b1e-6d2b-4f52-9d0a-4a5b0c1d2e3f/task/",
  ];
  it.each(odd)("%s is 400 or 404 in JSON, and not echoed", async (path) => {
    const answer = await kit.get(path);
    const text = await answer.text();
    expect([400, 404]).toContain(answer.status);
    expect(JSON.parse(text)).toMatchObject({ error: expect.any(String), message: expect.any(String) });
    expect(answer.headers.get("content-type")).toBe("application/json");
    for (const echo of ["script", "OR '1'", "999999", "passwd"]) expect(text).not.toContain(echo);
  });

  it.each([
    ["POST", "/health", "GET, HEAD"],
    ["DELETE", "/batch/x", "GET, HEAD"],
    ["GET", "/submit", "POST"],
    ["PUT", "/submit", "POST"],
    ["OPTIONS", "/batches", "GET, HEAD"],
  ])("%s %s is 405 with Allow", async (method, path, allow) => {
    const answer = await kit.get(path, { method });
    expect([answer.status, answer.headers.get("allow")]).toEqual([405, allow]);
    expect(await answer.json()).toMatchObject({ error: "method_not_allowed" });
  });
});
