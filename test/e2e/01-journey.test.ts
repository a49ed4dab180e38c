/**
 * One submission from upload to verdict, as validators live it: read this first. A real server process, a real Docker
 * engine, the real example archive; the client side is written from CONTRACT.md alone (support/).
 */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadExpected } from "../../src/setup/examples.ts";
import { exampleArchive, exampleServerEnvironment } from "./support/example.ts";
import { type Followed, firstGap, followSse, followWs, journaled } from "./support/follow.ts";
import { makeDataDir, startServer, type TestServer } from "./support/server.ts";
import { call, makeValidator } from "./support/validator.ts";

const validators = [makeValidator(1), makeValidator(2), makeValidator(3)] as const;
const [alice, bob, carol] = validators;
const expected = loadExpected();

const folder = await makeDataDir();
let server: TestServer;
let archive: Buffer;

beforeAll(async () => {
  const environment = await exampleServerEnvironment(
    folder.path,
    validators.map(({ hotkey }) => hotkey),
  );
  server = await startServer(`${folder.path}/data`, environment);
  archive = await exampleArchive(folder.path, "solver", "journey");
});

afterAll(async () => {
  await server.end("SIGTERM");
  await folder[Symbol.asyncDispose]();
});

describe("a submission", () => {
  let batchId = "";
  let sse: Promise<Followed>;
  let ws: Promise<Followed>;

  it("01 is refused from a stranger before its body is read", async () => {
    const stranger = makeValidator(99);
    const answer = await stranger.submit(server.url, archive);
    expect(answer).toMatchObject({ status: 401, body: { error: "unauthorized_hotkey" } });
  });

  it("02 gathers its first vote, signed with version 1", async () => {
    const answer = await alice.submit(server.url, archive, { concurrentTasks: 4 });
    expect(answer).toMatchObject({
      status: 202,
      body: {
        status: "pending_consensus",
        archive_hash: createHash("sha256").update(archive).digest("hex"),
        votes: 1,
        required: 2,
        total_validators: 3,
        total_tasks: 4,
      },
    });
    batchId = answer.body.batch_id;
    expect(answer.body.ws_url).toBe(`/ws?batch_id=${batchId}`);
  });

  it("03 acknowledges the same vote again without counting it", async () => {
    const answer = await alice.submit(server.url, archive);
    expect(answer).toMatchObject({
      status: 202,
      body: { batch_id: batchId, votes: 1, note: "Your vote was already recorded" },
    });
  });

  it("04 can be followed before it starts", async () => {
    sse = followSse(server.url, batchId);
    ws = followWs(server.url, batchId);
    const answer = await call(`${server.url}/batch/${batchId}`);
    expect(answer).toMatchObject({ status: 200, body: { batch_id: batchId, status: "pending", total_tasks: 4 } });
  });

  it("05 starts with the second vote, signed with version 2", async () => {
    const { body } = await call(`${server.url}/instance`);
    const answer = await bob.submit(server.url, archive, { audience: body.audience, concurrentTasks: 4 });
    expect(answer).toMatchObject({
      status: 202,
      body: { batch_id: batchId, total_tasks: 4, consensus_reached: true, votes: 2, required: 2 },
    });
  });

  it("06 shows every event to both kinds of followers, in order, without gap or double", async () => {
    const [bySse, byWs] = await Promise.all([sse, ws]);
    for (const { events } of [bySse, byWs]) {
      expect(events[0]?.event).toBe("snapshot");
      expect(events.at(-1)?.event).toBe("stream_closed");
      expect(firstGap(events, events[0]?.seq ?? 0)).toBeUndefined();
      const names = events.map(({ event }) => event);
      expect(names).toContain("batch_started");
      expect(names.filter((name) => name === "task_started")).toHaveLength(4);
      expect(names.filter((name) => name === "task_complete")).toHaveLength(4);
      expect(journaled(events).at(-1)).toMatchObject({
        event: "batch_complete",
        data: { status: "completed", total: 4, passed: 4, failed: 0, reward: 1 },
      });
    }
    const common = Math.max(bySse.events[0]?.seq ?? 0, byWs.events[0]?.seq ?? 0);
    const behind = ({ events }: Followed) => journaled(events).filter(({ seq }) => seq > common);
    expect(behind(bySse)).toEqual(behind(byWs));
  });

  it("07 ends with the expected verdicts", async () => {
    const { body } = await call(`${server.url}/batch/${batchId}/tasks`);
    expect(body.batch_id).toBe(batchId);
    for (const task of body.tasks) {
      const { verdict, reward } = expected.solver?.[task.task_id] ?? {};
      expect(task, task.task_id).toMatchObject({ passed: verdict === "passed", reward, error: null });
      expect(task.agent_patch).toContain("diff --git");
    }
  });

  it("08 gives each task by its id, escaped and plain", async () => {
    for (const id of ["example%2Fringbuf-1", "example/ringbuf-1"]) {
      const { status, body } = await call(`${server.url}/batch/${batchId}/task/${id}`);
      expect(status).toBe(200);
      expect(body).toMatchObject({
        task_id: "example/ringbuf-1",
        status: "completed",
        passed: true,
        verdict: "passed",
      });
      expect(body.test_results.map((test: { name: string }) => test.name)).toContain("fail_to_pass_1");
    }
  });

  it("09 can be verified by anybody who recomputes the hash", async () => {
    const { body } = await call(`${server.url}/verify/${batchId}`);
    const hash = createHash("sha256").update(batchId);
    const summaries = [...body.task_summaries].sort((a, b) => (a.task_id < b.task_id ? -1 : 1));
    for (const task of summaries) {
      const reward = Buffer.alloc(8);
      reward.writeDoubleLE(task.reward);
      hash
        .update(task.task_id)
        .update(task.passed === true ? "1" : "0")
        .update(reward);
    }
    expect(body.results_hash).toBe(hash.digest("hex"));
  });

  it("10 is not run again for the third voter", async () => {
    const answer = await carol.submit(server.url, archive);
    expect(answer).toMatchObject({ status: 202, body: { batch_id: batchId, consensus_reached: true } });
    const { body } = await call(`${server.url}/status`);
    expect(body).toMatchObject({ total_batches: 1, completed_batches: 1, tasks_passed: 4, has_active_batch: false });
  });

  it("11 is counted in the metrics", async () => {
    const response = await fetch(`${server.url}/metrics`);
    expect(response.headers.get("content-type")).toContain("version=0.0.4");
    const text = await response.text();
    for (const line of [
      "term_executor_batches_total 1",
      "term_executor_tasks_passed 4",
      "term_executor_batches_active 0",
    ]) {
      expect(text).toContain(`\n${line}\n`);
    }
  });

  it("12 resumes for a follower exactly behind what it saw, and answers 204 behind the end", async () => {
    const { events } = await sse;
    const last = journaled(events).at(-1)?.seq ?? 0;
    const middle = journaled(events)[Math.floor(events.length / 2)]?.seq ?? 0;
    const resumed = await followSse(server.url, batchId, String(middle));
    expect(firstGap(resumed.events, middle)).toBeUndefined();
    expect(journaled(resumed.events).at(-1)?.seq).toBe(last);
    expect((await followSse(server.url, batchId, String(last))).status).toBe(204);
  });
});

describe("an agent that", () => {
  const limits: Record<string, Record<string, string>> = {
    noop: {},
    hang: { AGENT_TIMEOUT_SECS: "3" },
    flood: { MAX_FLOOD_BYTES: "20000000" },
  };

  it.each(Object.keys(limits))("does %s gets what it earned", async (agent) => {
    const environment = await exampleServerEnvironment(folder.path, [alice.hotkey]);
    await using own = await startServer(`${folder.path}/data-${agent}`, { ...environment, ...limits[agent] });
    const bytes = await exampleArchive(folder.path, agent as keyof typeof expected, "alone");
    const { body } = await alice.submit(own.url, bytes, { concurrentTasks: 4 });
    await followWs(own.url, body.batch_id);
    const tasks = Object.entries(expected[agent as keyof typeof expected] ?? {});
    expect(tasks).toHaveLength(4);
    for (const [id, { verdict, reason, reward }] of tasks) {
      const task = await call(`${own.url}/batch/${body.batch_id}/task/${encodeURIComponent(id)}`);
      expect(task.body, id).toMatchObject({ verdict, reason, reward, passed: false });
    }
    expect(await own.end("SIGTERM")).toBe(0);
  });
});
