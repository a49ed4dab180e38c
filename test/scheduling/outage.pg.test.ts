/** F08: the database server goes away for a while, with tasks running and followers listening. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JournalEvent } from "../../src/journal/events.ts";
import { deferred } from "../../src/kernel/signals.ts";
import { openStore } from "../../src/store/open.ts";
import { listTasks } from "../../src/store/tables/tasks.ts";
import { startPostgres, type TestServer, whyNoPostgres } from "../store/postgres.ts";
import { type Evaluate, resultOf, startKit } from "./kit.ts";

const missing = whyNoPostgres() ?? (process.env.TEST_DATABASE_URL === undefined ? undefined : "the server is given");
describe.skipIf(missing !== undefined)(`outage${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());

  test("a verdict that came while the store was gone is stored once it is back, and followers get it", async () => {
    const begun = deferred();
    const letGo = deferred();
    const evaluate: Evaluate = async ({ task }, reporter) => {
      if (task.taskId !== "t0") return resultOf({});
      begun.resolve();
      await letGo.promise;
      reporter.log("agent", "stdout", "said while the store was gone\n");
      return resultOf({ verdict: "failed", reason: "tests_failed", reward: 0 });
    };
    await using kit = await startKit({ databaseUrl: await server.createDatabase(), evaluate, pollMs: 500 });
    const id = await kit.openBatch(3, 1);
    await begun.promise;
    const follower = kit.untilComplete(id).catch((error: unknown) => error);
    await server.crash();
    letGo.resolve();
    await expect(kit.store.ping()).rejects.toMatchObject({ code: "store_unavailable", isRetryable: true });
    await expect(listTasks(kit.store.db, id)).rejects.toMatchObject({ code: "store_unavailable" });
    await expect(kit.store.transaction(async () => 1)).rejects.toMatchObject({ code: "store_unavailable" });
    await server.restart();
    // A follower whose read failed is told; a client comes back with its last number.
    const followed = await follower;
    if (followed instanceof Error) expect(followed).toMatchObject({ code: "store_unavailable" });
    const events = followed instanceof Error ? await kit.untilComplete(id) : (followed as JournalEvent[]);
    expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
    expect(JSON.stringify(events)).toContain("said while the store was gone");
    expect(events.at(-1)?.data).toMatchObject({ status: "completed", passed: 2, failed: 1 });
    const [first] = await listTasks(kit.store.db, id);
    expect(first).toMatchObject({ attempt: 1, verdict: "failed" });
  });

  test("listeners are told of a gap, and hear again", async () => {
    await using store = await openStore({ databaseUrl: await server.createDatabase() });
    const gap = deferred();
    let heard = deferred<string>();
    const stop = await store.listen("news", (payload) => heard.resolve(payload), gap.resolve);
    await store.notify(store.db, "news", "one");
    expect(await heard.promise).toBe("one");
    heard = deferred();
    await server.crash();
    await server.restart();
    await gap.promise;
    await store.notify(store.db, "news", "two");
    expect(await heard.promise).toBe("two");
    await stop();
  });

  test("a server that isn't there: the start says so within seconds", async () => {
    await expect(openStore({ databaseUrl: "postgresql://nobody@127.0.0.1:1/x" })).rejects.toMatchObject({
      code: "store_unavailable",
    });
  });
});
