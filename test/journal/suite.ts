/** One suite for the journal, run on both databases. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { verifyChain } from "../../src/journal/chain.ts";
import type { JournalEvent, NewEvent } from "../../src/journal/events.ts";
import { createJournal } from "../../src/journal/journal.ts";
import type { Journal } from "../../src/journal/port.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { deferred } from "../../src/kernel/signals.ts";
import type { Store } from "../../src/store/port.ts";
import { findBatch } from "../../src/store/tables/batches.ts";

export const log = (text: string): NewEvent => ({
  event: "log",
  taskId: "t0",
  data: { phase: "agent", stream: "stdout", text },
});
const complete: NewEvent = { event: "batch_complete", data: { status: "completed" } };

export async function newBatch(store: Store): Promise<string> {
  const id = randomUUID();
  const digest = id.replaceAll("-", "").padEnd(64, "0");
  const now = new Date();
  await store.db
    .insertInto("archives")
    .values({ digest, size_bytes: 1, task_count: 1, submission_blob: digest, created_at: now })
    .execute();
  await store.db
    .insertInto("batches")
    .values({
      batch_id: id,
      archive_digest: digest,
      status: "running",
      error: null,
      total_tasks: 1,
      concurrent_tasks: 1,
      results_hash: null,
      created_at: now,
      last_progress_at: now,
    })
    .execute();
  return id;
}

const append = (store: Store, journal: Journal, id: string, events: readonly NewEvent[]) =>
  store.transaction((tx) => journal.append(tx, id, events));

async function collect(events: AsyncIterable<JournalEvent>, count = Number.POSITIVE_INFINITY): Promise<JournalEvent[]> {
  const all: JournalEvent[] = [];
  for await (const event of events) {
    all.push(event);
    if (all.length >= count) break;
  }
  return all;
}

const seqs = (events: readonly JournalEvent[]) => events.map((event) => event.seq);
const upTo = (count: number, from = 1) => Array.from({ length: count - from + 1 }, (_, index) => index + from);

export function journalSuite(name: string, open: () => Promise<Store>): void {
  describe(name, () => {
    let store: Store;
    let journal: Journal;
    beforeAll(async () => {
      store = await open();
      // No poll: what arrives, arrives by notification.
      journal = createJournal({ store, clock: systemClock, pollMs: 3_600_000 });
    }, 120_000);
    afterAll(async () => {
      await journal.close();
      await store.close();
    });

    test("concurrent appends: no gap, no double, one chain", async () => {
      const id = await newBatch(store);
      await Promise.all(
        upTo(40).map((index) => append(store, journal, id, [log(`${index} a`), log(`${index} b`), log(`${index} c`)])),
      );
      const rows = await store.db.selectFrom("journal").selectAll().where("batch_id", "=", id).orderBy("seq").execute();
      const batch = await findBatch(store.db, id);
      expect(rows.map((row) => row.seq)).toEqual(upTo(120));
      expect(verifyChain(rows)).toEqual({ ok: true, headSeq: batch?.head_seq, headHash: batch?.head_hash });
      // Events of one append stay together.
      const texts = rows.map((row) => (JSON.parse(row.data) as { text: string }).text);
      for (let index = 0; index < texts.length; index += 3) {
        expect(new Set(texts.slice(index, index + 3).map((text) => text.split(" ")[0])).size).toBe(1);
      }
    });

    test("a transaction that fails leaves nothing and wakes nobody", async () => {
      const id = await newBatch(store);
      const failing = store.transaction(async (tx) => {
        await journal.append(tx, id, [log("never")]);
        throw new Error("no");
      });
      await expect(failing).rejects.toThrow("no");
      expect(await append(store, journal, id, [log("first")])).toBe(1);
      expect(await append(store, journal, id, [])).toBe(1);
    });

    test("more rows than one statement takes, and read in pages", async () => {
      const id = await newBatch(store);
      await append(
        store,
        journal,
        id,
        upTo(1_201).map((index) => log(`${index}`)),
      );
      expect(seqs(await journal.read(id, 0, 500))).toEqual(upTo(500));
      expect(seqs(await journal.read(id, 1_200, 500))).toEqual([1_201]);
      expect(seqs(await collect(journal.follow(id, 0, AbortSignal.timeout(30_000)), 1_201))).toEqual(upTo(1_201));
    });

    test("follow: from the start, from the middle, live, to the end (H04)", async () => {
      const id = await newBatch(store);
      await append(store, journal, id, [log("1"), log("2"), log("3")]);
      const { signal } = new AbortController();
      const all = collect(journal.follow(id, 0, signal));
      const rest = collect(journal.follow(id, 2, signal));
      const ahead = collect(journal.follow(id, 3, signal));
      await append(store, journal, id, [log("4")]);
      await append(store, journal, id, [log("5"), complete]);
      expect(seqs(await all)).toEqual(upTo(6));
      expect(seqs(await rest)).toEqual(upTo(6, 3));
      expect(seqs(await ahead)).toEqual(upTo(6, 4));
      expect(seqs(await collect(journal.follow(id, 5, signal)))).toEqual([6]);
    });

    test("follow while others append: 200 followers miss nothing and get nothing twice", async () => {
      const id = await newBatch(store);
      const { signal } = new AbortController();
      const followers: Promise<JournalEvent[]>[] = [];
      for (let round = 0; round < 20; round++) {
        for (let index = 0; index < 10; index++) followers.push(collect(journal.follow(id, 0, signal)));
        await append(store, journal, id, [log("x".repeat(100)), log("y")]);
      }
      await append(store, journal, id, [complete]);
      for (const events of await Promise.all(followers)) expect(seqs(events)).toEqual(upTo(41));
    });

    test("an ended batch ends its followers, also without batch_complete", async () => {
      const id = await newBatch(store);
      await append(store, journal, id, [log("1")]);
      const end = () => store.db.updateTable("batches").set({ status: "failed" }).where("batch_id", "=", id).execute();
      await end();
      expect(seqs(await collect(journal.follow(id, 0, AbortSignal.timeout(30_000))))).toEqual([1]);
      expect(seqs(await collect(journal.follow(id, 1, AbortSignal.timeout(30_000))))).toEqual([]);
      expect(await collect(journal.follow(randomUUID(), 0, AbortSignal.timeout(30_000)))).toEqual([]);
    });

    test("abort ends a follower that waits", async () => {
      const id = await newBatch(store);
      const abort = new AbortController();
      const waiting = collect(journal.follow(id, 0, abort.signal));
      await append(store, journal, id, [log("1")]);
      abort.abort();
      expect((await waiting).length).toBeLessThanOrEqual(1);
    });

    test("a slow follower is left behind, reads on from the store, and still gets everything once", async () => {
      const small = createJournal({
        store,
        clock: systemClock,
        pollMs: 3_600_000,
        feedBounds: { eventsMax: 5, bytesMax: 2_000 },
      });
      const id = await newBatch(store);
      const { signal } = new AbortController();
      const letGo = deferred();
      const got: JournalEvent[] = [];
      const began = deferred();
      const slow = (async () => {
        for await (const event of small.follow(id, 0, signal)) {
          got.push(event);
          began.resolve();
          if (got.length === 1) await letGo.promise;
        }
      })();
      const quick = collect(small.follow(id, 0, signal));
      await append(store, journal, id, [log("first")]);
      await began.promise;
      for (let index = 0; index < 50; index++) await append(store, journal, id, [log("x".repeat(300))]);
      letGo.resolve();
      await append(store, journal, id, [complete]);
      await slow;
      expect(seqs(got)).toEqual(upTo(52));
      expect(seqs(await quick)).toEqual(upTo(52));
      await small.close();
    });
  });
}
