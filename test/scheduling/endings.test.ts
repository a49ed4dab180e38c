import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/kernel/clock.ts";
import { deferred } from "../../src/kernel/signals.ts";
import { sessionTtlKeeper } from "../../src/scheduling/keepers/session-ttl.ts";
import { openBlobs } from "../../src/store/blobs.ts";
import { openStore } from "../../src/store/open.ts";
import type { Store } from "../../src/store/port.ts";
import { findBatch } from "../../src/store/tables/batches.ts";
import { findTask, listAttempts, listTasks } from "../../src/store/tables/tasks.ts";
import { type Evaluate, gated, passing, resultOf, startKit } from "./kit.ts";

let store: Store;
beforeAll(async () => {
  store = await openStore();
}, 60_000);
afterAll(() => store.close());

describe("ends from outside", () => {
  test("cancel: running and queued tasks end now, once; a late verdict changes nothing", async () => {
    const begun = deferred();
    const letGo = deferred();
    const aborted = deferred<unknown>();
    const evaluate: Evaluate = async (_input, _reporter, signal) => {
      signal.addEventListener("abort", () => aborted.resolve(signal.reason), { once: true });
      begun.resolve();
      await letGo.promise;
      return resultOf({});
    };
    await using kit = await startKit({ store, evaluate, config: { MAX_CONCURRENT_TASKS: 1 } });
    const id = await kit.openBatch(3);
    await begun.promise;
    expect(await kit.scheduler.cancelBatch(id)).toBe(true);
    await aborted.promise;
    expect(await kit.scheduler.cancelBatch(id)).toBe(false);
    letGo.resolve();
    const events = await kit.untilComplete(id);
    expect(events.filter((event) => event.event === "task_complete")).toHaveLength(3);
    expect(events.at(-1)?.data).toMatchObject({ status: "cancelled", failed: 3, reward: 0 });
    const tasks = await listTasks(store.db, id);
    expect(tasks.map(({ status, verdict, reason }) => ({ status, verdict, reason }))).toEqual(
      Array(3).fill({ status: "cancelled", verdict: "inconclusive", reason: "cancelled" }),
    );
    expect(await findBatch(store.db, id)).toMatchObject({ status: "cancelled", completed_tasks: 3, failed_tasks: 3 });
  });

  test("F09: only time without progress counts, by the clock that doesn't jump", async () => {
    let wallMs = Date.now();
    let monotonicMs = 0;
    const clock: Clock = { ...systemClock, now: () => wallMs, monotonicMs: () => monotonicMs };
    const { gate, evaluate } = gated();
    await using kit = await startKit({ store, evaluate, clock });
    const id = await kit.openBatch(2);
    await gate(`${id}/t0`).begun.promise;
    const { scheduler } = kit;
    const keeper = sessionTtlKeeper({
      db: store.db,
      clock,
      ttlMs: 60_000,
      expireBatch: (batchId) => scheduler.expireBatch(batchId),
    });
    const { signal } = new AbortController();
    expect(await keeper.run(signal)).toBe(0);
    wallMs += 3_600_000;
    expect(await keeper.run(signal)).toBe(0);
    monotonicMs += 59_999;
    expect(await keeper.run(signal)).toBe(0);
    gate(`${id}/t0`).go.resolve();
    for await (const event of kit.journal.follow(id, 0, AbortSignal.timeout(10_000))) {
      if (event.event === "task_complete") break;
    }
    monotonicMs += 1_000;
    expect(await keeper.run(signal)).toBe(0);
    monotonicMs += 60_000;
    wallMs -= 7_200_000;
    expect(await keeper.run(signal)).toBe(1);
    const events = await kit.untilComplete(id);
    expect(events.at(-1)?.data).toMatchObject({ status: "completed", passed: 1, failed: 1, error: "session_expired" });
    expect(await findBatch(store.db, id)).toMatchObject({ status: "completed", duration_ms: 120_999 });
    expect(await findTask(store.db, id, "t1")).toMatchObject({ status: "failed", reason: "infra_error", passed: null });
  });

  test("F06: drain lets running tasks finish, and hands the others back to the next start", async () => {
    const { gate, evaluate } = gated();
    const folder = mkdtempSync(join(tmpdir(), "proctor-drain-"));
    const blobs = await openBlobs(folder);
    const config = { MAX_CONCURRENT_TASKS: 2, DRAIN_TIMEOUT_SECS: 600 };
    const kit = await startKit({ store, blobs, evaluate, config });
    const id = await kit.openBatch(3);
    await gate(`${id}/t0`).begun.promise;
    await gate(`${id}/t1`).begun.promise;
    const deadline = new AbortController();
    const drained = kit.scheduler.drain(deadline.signal);
    gate(`${id}/t0`).go.resolve();
    for await (const event of kit.journal.follow(id, 0, AbortSignal.timeout(10_000))) {
      if (event.event === "task_complete") break;
    }
    deadline.abort();
    await drained;
    const statuses = (await listTasks(store.db, id)).map((task) => task.status);
    expect(statuses).toEqual(["completed", "queued", "queued"]);
    expect((await listAttempts(store.db, id, "t1")).map((attempt) => attempt.state)).toEqual(["lost"]);
    expect(kit.scheduler.stats()).toMatchObject({ draining: true, running: 0 });
    await kit[Symbol.asyncDispose]();

    await using next = await startKit({ store, blobs, evaluate: passing });
    const events = await next.untilComplete(id);
    expect(events.at(-1)?.data).toMatchObject({ status: "completed", passed: 3 });
    expect((await listAttempts(store.db, id, "t1")).map((attempt) => attempt.state)).toEqual(["lost", "judged"]);
    expect((await listAttempts(store.db, id, "t2")).map((attempt) => attempt.state)).toEqual(["judged"]);
    rmSync(folder, { recursive: true, force: true });
  });

  test("a submission that is gone: the batch is `failed`, and says so", async () => {
    const { gate, evaluate } = gated();
    await using kit = await startKit({ store, evaluate, config: { MAX_ACTIVE_BATCHES: 1 } });
    const first = await kit.openBatch(1);
    await gate(`${first}/t0`).begun.promise;
    const id = await kit.openBatch(2);
    const { submission_blob } = await store.db
      .selectFrom("batches")
      .innerJoin("archives", "archives.digest", "batches.archive_digest")
      .select("submission_blob")
      .where("batch_id", "=", id)
      .executeTakeFirstOrThrow();
    await kit.blobs.remove(submission_blob);
    gate(`${first}/t0`).go.resolve();
    const events = await kit.untilComplete(id);
    expect(events.at(-1)).toMatchObject({ event: "batch_complete", data: { status: "failed", total: 2, passed: 0 } });
    expect(await findBatch(store.db, id)).toMatchObject({ status: "failed", failed_tasks: 2 });
    expect((await findBatch(store.db, id))?.error).toMatch(/submit the archive again/);
  });
});
