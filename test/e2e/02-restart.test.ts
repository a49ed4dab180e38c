/** What survives the end of the server: by SIGKILL at any moment, and by SIGTERM with tasks running (F05, F06). */
import Docker from "dockerode";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSmallRepository, smallArchive } from "./support/archive.ts";
import { firstGap, followSse, followWs, journaled } from "./support/follow.ts";
import { makeDataDir, startServer, type TestServer } from "./support/server.ts";
import { call, makeValidator } from "./support/validator.ts";

const [alice, bob, carol] = [makeValidator(21), makeValidator(22), makeValidator(23)];
const docker = new Docker();
const folder = await makeDataDir();
let environment: Record<string, string>;

beforeAll(() => {
  environment = {
    VALIDATOR_HOTKEYS: [alice, bob, carol].map(({ hotkey }) => hotkey).join(","),
    REPO_URL_TEMPLATE: makeSmallRepository(folder.path).template,
    CONSENSUS_TTL_SECS: "600",
    MAX_CONCURRENT_TASKS: "3",
    DRAIN_TIMEOUT_SECS: "1",
  };
});
afterAll(() => folder[Symbol.asyncDispose]());

const start = (name: string) => startServer(`${folder.path}/${name}`, environment);

async function containersOf(instance: string): Promise<number> {
  const filters = { label: [`proctor.instance=${instance}`] };
  const listed = await docker.listContainers({ all: true, filters });
  // Some engines list a container for ever that they no longer have.
  return listed.filter(({ State }) => State !== "removing").length;
}

async function startBatch(server: TestServer, archive: Buffer): Promise<string> {
  await alice.submit(server.url, archive, { concurrentTasks: 3 });
  const { body } = await bob.submit(server.url, archive, { concurrentTasks: 3 });
  return body.batch_id;
}

/** Waits until the journal shows an event that `matches`. */
async function seen(server: TestServer, batchId: string, matches: (event: string) => boolean): Promise<void> {
  const stop = new AbortController();
  const response = await fetch(`${server.url}/batch/${batchId}/events`, { signal: stop.signal });
  try {
    for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) if (matches(text)) return;
  } finally {
    stop.abort();
  }
}

describe("a server that is killed", () => {
  it("keeps votes, nonces and its own key", async () => {
    const archive = smallArchive({ name: "votes" });
    const nonce = "spent-before-the-kill";
    const first = await start("votes");
    const { body } = await alice.submit(first.url, archive, { nonce });
    const before = await call(`${first.url}/instance`);
    await first.end("SIGKILL");

    await using second = await start("votes");
    const replayed = await alice.submit(second.url, archive, { nonce });
    expect(replayed).toMatchObject({ status: 401, body: { error: "nonce_reused" } });
    const started = await bob.submit(second.url, archive);
    expect(started).toMatchObject({
      status: 202,
      body: { batch_id: body.batch_id, votes: 2, consensus_reached: true },
    });
    expect((await call(`${second.url}/instance`)).body.audience).toBe(before.body.audience);
  });

  it("gives every task one verdict, and leaves no container", async () => {
    const archive = smallArchive({ name: "kill", taskCount: 6, agent: "sleep 2; echo 2 > value.txt\n" });
    let server = await start("kill");
    const batchId = await startBatch(server, archive);
    for (const moment of ['"agent","state":"started"', '"event":"task_complete"', '"event":"task_complete"']) {
      await seen(server, batchId, (text) => text.includes(moment) || text.includes('"running_agent"'));
      await server.end("SIGKILL");
      server = await start("kill");
    }
    await using last = server;
    const { events } = await followSse(last.url, batchId, "0");
    expect(firstGap(events, 0)).toBeUndefined();
    const verdicts = journaled(events).filter(({ event }) => event === "task_complete");
    expect(verdicts.map(({ task_id }) => task_id).sort()).toEqual([1, 2, 3, 4, 5, 6].map((n) => `small/kill-${n}`));
    expect(journaled(events).at(-1)).toMatchObject({ event: "batch_complete", data: { passed: 6, total: 6 } });
    await expect.poll(() => containersOf(last.instance), { timeout: 30_000, interval: 250 }).toBe(0);
  });
});

describe("a server that is told to end", () => {
  it("hands running tasks back, and the next start finishes them", async () => {
    const archive = smallArchive({ name: "drain", taskCount: 2, agent: "sleep 6; echo 2 > value.txt\n" });
    const first = await start("drain");
    const batchId = await startBatch(first, archive);
    await seen(
      first,
      batchId,
      (text) => text.includes('"running_agent"') || text.includes('"agent","state":"started"'),
    );
    const askedAt = performance.now();
    expect(await first.end("SIGTERM")).toBe(0);
    expect(performance.now() - askedAt).toBeLessThan(15_000);
    expect(await containersOf(first.instance)).toBe(0);

    await using second = await start("drain");
    const { events } = await followWs(second.url, batchId, 0);
    expect(firstGap(events, 0)).toBeUndefined();
    expect(journaled(events).at(-1)).toMatchObject({ event: "batch_complete", data: { passed: 2, total: 2 } });
  });

  it("finishes what can be finished in time", async () => {
    const archive = smallArchive({ name: "finish", agent: "sleep 1; echo 2 > value.txt\n" });
    const first = await startServer(`${folder.path}/finish`, { ...environment, DRAIN_TIMEOUT_SECS: "30" });
    const batchId = await startBatch(first, archive);
    await seen(
      first,
      batchId,
      (text) => text.includes('"running_agent"') || text.includes('"agent","state":"started"'),
    );
    expect(await first.end("SIGTERM")).toBe(0);
    await using second = await start("finish");
    expect((await call(`${second.url}/batch/${batchId}`)).body).toMatchObject({ status: "completed", passed_tasks: 1 });
  });
});

it("one DATA_DIR belongs to one server: the second says who holds it", async () => {
  await using first = await start("owned");
  const second = await start("owned").catch((error: Error) => error);
  expect(second).toBeInstanceOf(Error);
  expect((second as Error).message).toContain(String(first.pid));
});
