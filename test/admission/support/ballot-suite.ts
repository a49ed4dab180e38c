/** What ballots promise, run on the embedded store and on a PostgreSQL server. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { votesNeeded } from "../../../src/admission/ballot-rules.ts";
import { createBallots } from "../../../src/admission/ballots.ts";
import type { Ballots, VoteInput, VoteResult } from "../../../src/admission/port.ts";
import type { Submission } from "../../../src/archive/submission.ts";
import { createJournal } from "../../../src/journal/journal.ts";
import type { Journal } from "../../../src/journal/port.ts";
import { AppError } from "../../../src/kernel/errors.ts";
import type { BatchId, Hotkey, PublicKeyHex } from "../../../src/kernel/ids.ts";
import type { BatchStatus } from "../../../src/kernel/outcome.ts";
import type { Store } from "../../../src/store/port.ts";
import { FakeOpener, ManualClock, receivedArchive, someKeys, TestSet } from "./kit.ts";

const ttlMs = 60_000;

export function describeBallots(name: string, open: () => Promise<Store>): void {
  describe(`ballots on ${name}`, () => {
    let store: Store;
    let journal: Journal;
    let clock: ManualClock;
    let opener: FakeOpener;
    let set: TestSet;
    const keys = someKeys(7);

    beforeAll(async () => {
      store = await open();
    });
    afterAll(() => store.close());
    beforeEach(async () => {
      await store.db.deleteFrom("batches").execute();
      clock = new ManualClock();
      journal = createJournal({ store, clock });
      opener = new FakeOpener();
      set = new TestSet(...keys.slice(0, 3));
    });

    const ballotsOf = (change: object = {}): Ballots =>
      createBallots({
        ...{ store, journal, opener, validators: set, clock, threshold: 0.5, minVotes: 1, ttlMs, capacity: 100 },
        concurrentTasksMax: 8,
        ...change,
      });
    const voteOf = (index: number, submission: Submission, concurrentTasks?: number): VoteInput => {
      const publicKey = keys[index] ?? ("f".repeat(64) as PublicKeyHex);
      const caller = {
        publicKey,
        hotkey: `5key${index}` as Hotkey,
        nonce: `n${index}`,
        signature: "0xab",
        version: 2,
      } as const;
      return { caller, submission, concurrentTasks };
    };
    const codeOf = (cast: Promise<unknown>): Promise<string> =>
      cast.then(
        () => "ok",
        (error) => (error instanceof AppError ? error.code : Promise.reject(error)),
      );
    const setStatus = (batchId: BatchId, status: BatchStatus) =>
      store.db.updateTable("batches").set({ status }).where("batch_id", "=", batchId).execute();
    const batch = (batchId: BatchId) =>
      store.db.selectFrom("batches").selectAll().where("batch_id", "=", batchId).executeTakeFirstOrThrow();
    const votersOf = async (batchId: BatchId) => {
      const votes = await store.db.selectFrom("votes").select("voter").where("batch_id", "=", batchId).execute();
      return votes.map(({ voter }) => voter);
    };
    const eventsOf = async (batchId: BatchId) =>
      (await journal.read(batchId, 0, 100)).map(({ event, data }) => ({ event, data }));

    it("counts the first vote: batch id minted, batch waiting, event written, proof kept", async () => {
      const submission = await receivedArchive(store, 5);
      const result = await ballotsOf().cast(voteOf(0, submission, 4));
      expect(result).toEqual({
        ...{ state: "pending", batchId: result.batchId, votes: 1, required: 2, totalValidators: 3, totalTasks: 5 },
        ...{ concurrentTasks: 0, repeated: false },
      });
      expect(result.batchId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
      expect(await batch(result.batchId)).toMatchObject({
        status: "pending",
        total_tasks: 5,
        error: null,
        opened_at: null,
      });
      // What followers hear of a batch begins with `batch_started`.
      expect(await eventsOf(result.batchId)).toEqual([]);
      const votes = await store.db.selectFrom("votes").selectAll().where("batch_id", "=", result.batchId).execute();
      expect(votes).toMatchObject([
        { voter: keys[0], hotkey: "5key0", nonce: "n0", signature: "0xab", signature_version: 2, concurrent_tasks: 4 },
      ]);
    });

    it("opens the batch with the vote that completes the quorum", async () => {
      const submission = await receivedArchive(store);
      const ballots = ballotsOf();
      const first = await ballots.cast(voteOf(0, submission));
      const second = await ballots.cast(voteOf(1, submission, 99));
      expect(second).toMatchObject({
        state: "started",
        batchId: first.batchId,
        votes: 2,
        required: 2,
        concurrentTasks: 8,
      });
      expect(opener.opened).toEqual([{ batchId: first.batchId, digest: submission.archiveDigest, concurrentTasks: 8 }]);
      expect((await batch(first.batchId)).concurrent_tasks).toBe(8);
    });

    it.each([1, 2, 3, 4, 5, 6, 7])("C01: %i validators need the votes that are documented", async (count) => {
      set.keys = new Set(keys.slice(0, count));
      const submission = await receivedArchive(store);
      const ballots = ballotsOf();
      const needed = votesNeeded(count, 0.5, 1);
      for (let index = 0; index < needed; index++) {
        const { state, votes, required } = await ballots.cast(voteOf(index, submission));
        expect({ state, votes, required }).toEqual({
          state: index + 1 < needed ? "pending" : "started",
          votes: index + 1,
          required: needed,
        });
      }
      expect(opener.opened).toHaveLength(1);
    });

    it("C02: the same vote twice is counted once, acknowledged, and leaves one record", async () => {
      const submission = await receivedArchive(store);
      const ballots = ballotsOf();
      const first = await ballots.cast(voteOf(0, submission));
      const again = await ballots.cast(voteOf(0, submission));
      expect(again).toEqual({ ...first, repeated: true });
      expect(await votersOf(first.batchId)).toEqual([keys[0]]);
      const after = await ballots.cast(voteOf(1, submission));
      expect(await ballots.cast(voteOf(1, submission))).toEqual({ ...after, repeated: true });
      expect(opener.opened).toHaveLength(1);
    });

    it("C03: one key's ballots are bounded, others still open theirs and vote on its", async () => {
      const ballots = ballotsOf({ capacity: 6 });
      const mine: Submission[] = [];
      for (let count = 0; count < 8; count++) {
        const submission = await receivedArchive(store);
        const refused = await codeOf(
          ballots.checkRoom(voteOf(0, submission).caller.publicKey, submission.archiveDigest),
        );
        expect(await codeOf(ballots.cast(voteOf(0, submission)))).toBe(refused);
        if (refused === "ok") mine.push(submission);
        else expect(refused).toBe("too_many_pending");
      }
      expect(mine).toHaveLength(3);
      for (const index of [1, 2])
        expect(await codeOf(ballots.cast(voteOf(index, await receivedArchive(store))))).toBe("ok");
      for (const submission of mine) {
        const voter = voteOf(1, submission);
        await ballots.checkRoom(voter.caller.publicKey, submission.archiveDigest);
        expect(await ballots.cast(voter)).toMatchObject({ state: "started", votes: 2 });
      }
    });

    it("C03: capacity holds when ballots are opened in parallel, and what is due takes no room", async () => {
      const ballots = ballotsOf({ capacity: 4 });
      const all = await Promise.all(Array.from({ length: 12 }, () => receivedArchive(store)));
      const codes = await Promise.all(
        all.map((submission, index) => codeOf(ballots.cast(voteOf(index % 3, submission)))),
      );
      expect(codes.filter((code) => code === "ok")).toHaveLength(4);
      clock.advance(ttlMs);
      expect(await codeOf(ballots.cast(voteOf(0, await receivedArchive(store))))).toBe("ok");
    });

    it("C04: a voter that leaves the set before the quorum is not counted; back again it is", async () => {
      set.keys = new Set(keys.slice(0, 4));
      const submission = await receivedArchive(store);
      const ballots = ballotsOf({ threshold: 0.75 });
      await ballots.cast(voteOf(0, submission));
      set.keys = new Set(keys.slice(1, 5));
      expect(await ballots.cast(voteOf(1, submission))).toMatchObject({ state: "pending", votes: 1, required: 3 });
      expect(await ballots.cast(voteOf(2, submission))).toMatchObject({ state: "pending", votes: 2 });
      set.keys = new Set(keys.slice(0, 4));
      expect(await ballots.cast(voteOf(2, submission))).toMatchObject({ state: "started", votes: 3, repeated: true });
    });

    it("C06: a quorum while the queue is full keeps the votes; the next or a repeated vote opens it", async () => {
      const submission = await receivedArchive(store);
      const ballots = ballotsOf();
      opener.hasSpace = false;
      const first = await ballots.cast(voteOf(0, submission));
      await expect(ballots.cast(voteOf(1, submission))).rejects.toMatchObject({
        code: "busy",
        httpStatus: 503,
        details: { retry_after_secs: 5 },
      });
      expect(await votersOf(first.batchId)).toHaveLength(2);
      expect(opener.opened).toEqual([]);
      opener.hasSpace = true;
      expect(await ballots.cast(voteOf(1, submission))).toMatchObject({
        ...{ state: "started", batchId: first.batchId, votes: 2, repeated: true },
      });
      expect(opener.opened).toHaveLength(1);
    });

    it("C06: a complete quorum is not lost to the time limit between two tries", async () => {
      const submission = await receivedArchive(store);
      const ballots = ballotsOf();
      opener.hasSpace = false;
      const first = await ballots.cast(voteOf(0, submission));
      clock.advance(ttlMs - 1);
      expect(await codeOf(ballots.cast(voteOf(1, submission)))).toBe("busy");
      clock.advance(ttlMs - 1);
      expect(await ballots.expireDue()).toBe(0);
      opener.hasSpace = true;
      expect(await ballots.cast(voteOf(2, submission))).toMatchObject({
        state: "started",
        batchId: first.batchId,
        votes: 3,
      });
    });

    it.each(["pending", "extracting", "running", "completed"] as const)(
      "C07: a submission of an archive whose batch is %s gets that batch; nothing runs twice",
      async (status) => {
        const submission = await receivedArchive(store);
        const ballots = ballotsOf();
        await ballots.cast(voteOf(0, submission));
        const { batchId } = await ballots.cast(voteOf(1, submission, 2));
        await setStatus(batchId, status);
        clock.advance(10 * ttlMs);
        const events = await eventsOf(batchId);
        const late = await ballots.cast(voteOf(2, submission));
        expect(late).toMatchObject({
          state: "started",
          batchId,
          votes: 3,
          required: 2,
          concurrentTasks: 2,
          repeated: false,
        });
        await ballots.checkRoom(keys[2] ?? ("" as PublicKeyHex), submission.archiveDigest);
        expect(opener.opened).toHaveLength(1);
        expect(await eventsOf(batchId)).toEqual(events);
      },
    );

    it.each(["failed", "cancelled"] as const)(
      "a batch that is %s has no verdicts: a new ballot opens",
      async (status) => {
        const submission = await receivedArchive(store);
        const ballots = ballotsOf();
        await ballots.cast(voteOf(0, submission));
        const { batchId } = await ballots.cast(voteOf(1, submission));
        await setStatus(batchId, status);
        clock.advance(1);
        const next = await ballots.cast(voteOf(0, submission));
        expect(next).toMatchObject({ state: "pending", votes: 1 });
        expect(next.batchId).not.toBe(batchId);
      },
    );

    it("a ballot whose waiting batch was cancelled takes no more votes, and is not ended a second time", async () => {
      const submission = await receivedArchive(store);
      const ballots = ballotsOf();
      const first = await ballots.cast(voteOf(0, submission));
      await setStatus(first.batchId, "cancelled");
      clock.advance(1);
      const next = await ballots.cast(voteOf(1, submission));
      expect(next).toMatchObject({ state: "pending", votes: 1 });
      expect(next.batchId).not.toBe(first.batchId);
      expect((await batch(first.batchId)).status).toBe("cancelled");
      expect(await eventsOf(first.batchId)).toEqual([]);
    });

    it("C08: two halves that approve two archives at once are not mixed", async () => {
      set.keys = new Set(keys.slice(0, 4));
      const [one, two] = [await receivedArchive(store), await receivedArchive(store)];
      const ballots = ballotsOf();
      const results = await Promise.all(
        [0, 1, 2, 3].map((index) => ballots.cast(voteOf(index, index < 2 ? one : two))),
      );
      expect(new Set(results.map(({ batchId }) => batchId)).size).toBe(2);
      expect(results.filter(({ state }) => state === "started")).toHaveLength(2);
      expect(opener.opened.map(({ digest }) => digest).sort()).toEqual([one.archiveDigest, two.archiveDigest].sort());
    });

    it("C09: two last votes in parallel, 100 times over, open exactly one batch each", async () => {
      set.keys = new Set(keys.slice(0, 5));
      const ballots = [ballotsOf({ capacity: 1_000 }), ballotsOf({ capacity: 1_000 })] as const;
      for (let round = 0; round < 100; round++) {
        const submission = await receivedArchive(store);
        const first = await ballots[0].cast(voteOf(0, submission));
        await ballots[1].cast(voteOf(1, submission));
        const last = await Promise.all([
          ballots[0].cast(voteOf(2, submission)),
          ballots[1].cast(voteOf(3, submission)),
        ]);
        expect(last.map(({ state, batchId }: VoteResult) => ({ state, batchId }))).toEqual(
          Array.from({ length: 2 }, () => ({ state: "started", batchId: first.batchId })),
        );
        expect(opener.opened).toHaveLength(round + 1);
      }
    });

    it("C09: all votes at once, the first one too, make one ballot and one batch", async () => {
      set.keys = new Set(keys);
      const submission = await receivedArchive(store);
      const results = await Promise.all(keys.map((_, index) => ballotsOf().cast(voteOf(index, submission))));
      expect(new Set(results.map(({ batchId }) => batchId)).size).toBe(1);
      expect(results.filter(({ state }) => state === "started")).toHaveLength(4);
      expect(opener.opened).toHaveLength(1);
    });

    it("C10: a late vote opens a new ballot with one vote; the old batch says why it failed", async () => {
      const submission = await receivedArchive(store);
      const ballots = ballotsOf();
      const first = await ballots.cast(voteOf(0, submission));
      clock.advance(ttlMs);
      const late = await ballots.cast(voteOf(1, submission));
      expect(late).toMatchObject({ state: "pending", votes: 1, repeated: false });
      expect(late.batchId).not.toBe(first.batchId);
      expect(await batch(first.batchId)).toMatchObject({ status: "failed", error: "consensus_expired" });
      expect((await eventsOf(first.batchId)).at(-1)).toMatchObject({
        event: "batch_complete",
        data: {
          status: "failed",
          total: 1,
          passed: 0,
          failed: 0,
          reward: 0,
          duration_ms: ttlMs,
          error: "consensus_expired",
        },
      });
    });

    it("C10: ballots end on their own, once, not early, and not by a jump of the wall clock", async () => {
      const ballots = ballotsOf();
      const { batchId } = await ballots.cast(voteOf(0, await receivedArchive(store)));
      clock.advance(ttlMs - 1);
      clock.jump(3_600_000);
      expect(await ballots.expireDue()).toBe(0);
      clock.advance(1);
      const ended = await Promise.all([ballots.expireDue(), ballots.expireDue()]);
      expect(ended.sort()).toEqual([0, 1]);
      expect((await eventsOf(batchId)).map(({ event }) => event)).toEqual(["batch_complete"]);
    });

    it("leaves nothing of a vote behind when opening the batch fails", async () => {
      const submission = await receivedArchive(store);
      const ballots = ballotsOf();
      const { batchId } = await ballots.cast(voteOf(0, submission));
      opener.open = () => Promise.reject(new AppError("store_unavailable", "gone"));
      expect(await codeOf(ballots.cast(voteOf(1, submission)))).toBe("store_unavailable");
      expect(await votersOf(batchId)).toEqual([keys[0]]);
      opener = new FakeOpener();
      expect(await ballotsOf().cast(voteOf(1, submission))).toMatchObject({
        state: "started",
        votes: 2,
        repeated: false,
      });
    });

    it("waits for a set: without one no vote is counted", async () => {
      set.isReady = false;
      expect(await codeOf(ballotsOf().cast(voteOf(0, await receivedArchive(store))))).toBe("whitelist_not_ready");
    });
  });
}
