import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createJournal } from "../../src/journal/journal.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { openStore } from "../../src/store/open.ts";
import { startPostgres, type TestServer, whyNoPostgres } from "../store/postgres.ts";
import { journalSuite, log, newBatch } from "./suite.ts";

const missing = whyNoPostgres();
describe.skipIf(missing !== undefined)(`PostgreSQL${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.stop());

  journalSuite("journal on a server", async () => openStore({ databaseUrl: await server.createDatabase() }));

  test("two nodes on one database: appended on one, followed on the other", async () => {
    const databaseUrl = await server.createDatabase();
    await using here = await openStore({ databaseUrl });
    await using there = await openStore({ databaseUrl });
    const writer = createJournal({ store: here, clock: systemClock, pollMs: 3_600_000 });
    const reader = createJournal({ store: there, clock: systemClock, pollMs: 3_600_000 });
    const id = await newBatch(here);
    const seqs: number[] = [];
    const following = (async () => {
      for await (const event of reader.follow(id, 0, AbortSignal.timeout(30_000))) seqs.push(event.seq);
    })();
    for (let index = 0; index < 20; index++) {
      await here.transaction((tx) => writer.append(tx, id, [log("x")]));
    }
    await here.transaction((tx) => writer.append(tx, id, [{ event: "batch_complete", data: {} }]));
    await following;
    expect(seqs).toEqual(Array.from({ length: 21 }, (_, index) => index + 1));
    await writer.close();
    await reader.close();
  });
});
