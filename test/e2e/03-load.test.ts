/**
 * The load: 200 submissions of distinct small archives by three validators each, while 100 SSE and 100 WebSocket clients
 * follow. No error, no event lost or doubled, memory flat. PROCTOR_LOAD_SUBMISSIONS makes it smaller or larger.
 */
import { join } from "node:path";
import pLimit from "p-limit";
import { expect, it } from "vitest";
import { makeSmallRepository, smallArchive } from "./support/archive.ts";
import { type Followed, firstGap, followSse, followWs, journaled } from "./support/follow.ts";
import { makeDataDir, startServer } from "./support/server.ts";
import { call, makeValidator } from "./support/validator.ts";

const SUBMISSIONS = Number(process.env.PROCTOR_LOAD_SUBMISSIONS ?? 200);
const FOLLOWERS_EACH = 100;
/** Growth of the server's memory over the second half of the load that still counts as flat. */
const GROWTH_MAX_BYTES = 64 * 1024 ** 2;

const validators = [makeValidator(11), makeValidator(12), makeValidator(13)];

it(`takes ${SUBMISSIONS} submissions by three validators with ${2 * FOLLOWERS_EACH} followers`, async () => {
  await using folder = await makeDataDir();
  const { template } = makeSmallRepository(folder.path);
  await using server = await startServer(join(folder.path, "data"), {
    VALIDATOR_HOTKEYS: validators.map(({ hotkey }) => hotkey).join(","),
    REPO_URL_TEMPLATE: template,
    CONSENSUS_THRESHOLD: "1",
    CONSENSUS_TTL_SECS: "600",
    MAX_ACTIVE_BATCHES: "8",
  });
  const followed: Promise<Followed & { readonly batchId: string }>[] = [];
  const memory: number[] = [];
  const batchIds: string[] = [];

  const submitAll = async (number: number) => {
    const archive = smallArchive({ name: String(number) });
    let batchId = "";
    for (const [index, validator] of validators.entries()) {
      const { status, body } = await validator.submit(server.url, archive, { concurrentTasks: 1 });
      expect({ status, body }).toMatchObject({ status: 202, body: { votes: index + 1, required: 3 } });
      batchId = body.batch_id;
      // The followers of one batch in each pair join while it gathers votes.
      if (index === 0 && followed.length < 2 * FOLLOWERS_EACH) {
        const id = batchId;
        followed.push(followSse(server.url, id).then((f) => ({ ...f, batchId: id })));
        followed.push(followWs(server.url, id).then((f) => ({ ...f, batchId: id })));
      }
    }
    batchIds.push(batchId);
  };

  const limit = pLimit(8);
  let done = 0;
  await Promise.all(
    Array.from({ length: SUBMISSIONS }, (_, number) =>
      limit(async () => {
        await submitAll(number);
        done += 1;
        if (done % 20 === 0) memory.push(await server.memoryBytes());
      }),
    ),
  );
  const views = await Promise.all(followed);
  await Promise.all(batchIds.map((id) => limit(() => followWs(server.url, id))));
  memory.push(await server.memoryBytes());

  expect(new Set(batchIds).size).toBe(SUBMISSIONS);
  for (const { events, batchId } of views) {
    expect(firstGap(events, events[0]?.seq ?? 0), batchId).toBeUndefined();
    expect(journaled(events).at(-1)?.event, batchId).toBe("batch_complete");
    expect(events.at(-1)?.event, batchId).toBe("stream_closed");
  }
  const { body } = await call(`${server.url}/status`);
  expect(body).toMatchObject({
    total_batches: SUBMISSIONS,
    completed_batches: SUBMISSIONS,
    tasks_passed: SUBMISSIONS,
    tasks_failed: 0,
    active_batches: 0,
  });
  const [middle, end] = [memory[Math.floor(memory.length / 2)] ?? 0, memory.at(-1) ?? 0];
  const inMb = memory.map((bytes) => Math.round(bytes / 1024 ** 2)).join(" ");
  console.log(`server memory at every 20th submission and at the end, MB: ${inMb}`);
  expect(end - middle).toBeLessThan(GROWTH_MAX_BYTES);
  const errors = server.log.filter((line) => line.includes('"level":"error"'));
  expect(errors).toEqual([]);
  expect(await server.end("SIGTERM")).toBe(0);
});
