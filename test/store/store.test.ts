import { sql } from "kysely";
import { PgBoss } from "pg-boss";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deferred } from "../../src/kernel/signals.ts";
import type { JobsDatabase } from "../../src/store/backend.ts";
import { isUniqueViolation, translate } from "../../src/store/errors.ts";
import { migrate } from "../../src/store/migrate.ts";
import { migrations } from "../../src/store/migrations/index.ts";
import { openStore } from "../../src/store/open.ts";
import type { Store } from "../../src/store/port.ts";
import {
  deleteEnvironment,
  findEnvironment,
  listEnvironments,
  putEnvironment,
} from "../../src/store/tables/environments.ts";
import { fact, instanceId } from "../../src/store/tables/meta.ts";

let store: Store;
let jobs: JobsDatabase;
beforeAll(async () => {
  store = await openStore();
  jobs = store.jobs.options.db as JobsDatabase;
}, 60_000);
afterAll(() => store.close());

const values = async () => (await store.db.selectFrom("meta").selectAll().execute()).map((row) => row.key);

describe("the queue beside our transactions, on one connection", () => {
  test("a statement of the queue waits for our open transaction and doesn't join it", async () => {
    const inside = deferred();
    const letGo = deferred();
    const ours = store.transaction(async (tx) => {
      await tx.insertInto("meta").values({ key: "waited", value: "x" }).execute();
      inside.resolve();
      await letGo.promise;
      throw new Error("rolled back");
    });
    await inside.promise;
    let seen: unknown;
    const theirs = jobs.executeSql("select count(*)::int as n from meta where key = $1", ["waited"]).then((result) => {
      seen = result.rows[0];
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toBeUndefined();
    letGo.resolve();
    await expect(ours).rejects.toThrow("rolled back");
    await theirs;
    expect(seen).toEqual({ n: 0 });
  });

  test.each([
    { why: "a failing BEGIN block", text: "begin; insert into meta values ('half', 'x'); select 1/0; commit;" },
    { why: "a failing statement", text: "select 1/0" },
    { why: "a block with a syntax error", text: "BEGIN; nonsense; COMMIT" },
  ])("$why of the queue, between and beside ours, rolls back itself only", async ({ text }) => {
    const failing = () => expect(jobs.executeSql(text)).rejects.toThrow();
    const writing = (key: string) =>
      store.transaction(async (tx) => {
        await tx.insertInto("meta").values({ key, value: "x" }).execute();
        await new Promise((resolve) => setImmediate(resolve));
        await tx.updateTable("meta").set({ value: "y" }).where("key", "=", key).execute();
      });
    const prefix = text.slice(0, 12);
    await Promise.all(Array.from({ length: 10 }, (_, index) => [writing(`${prefix}${index}`), failing()]).flat());
    const kept = (await values()).filter((key) => key.startsWith(prefix));
    expect(kept).toHaveLength(10);
    expect(await values()).not.toContain("half");
  });

  test("rows of a RETURNING inside a block are seen", async () => {
    const { rows } = await jobs.executeSql("begin; insert into meta values ('ret', 'x') returning key; commit;");
    expect(rows).toEqual([{ key: "ret" }]);
  });

  test("pg-boss runs its own work while ours commit, and its failed work harms none", async () => {
    const boss = new PgBoss({ ...store.jobs.options, supervise: false, schedule: false } as never);
    boss.on("error", () => {});
    await boss.start();
    await boss.createQueue("q");
    const sending = Array.from({ length: 20 }, () => boss.send("q", { a: 1 }));
    const ours = Array.from({ length: 20 }, (_, index) =>
      store.transaction((tx) =>
        tx
          .insertInto("meta")
          .values({ key: `boss${index}`, value: "x" })
          .execute(),
      ),
    );
    const refused = boss.createQueue("q".repeat(500)).catch(() => "refused");
    await Promise.all([...sending, ...ours, refused]);
    expect((await values()).filter((key) => key.startsWith("boss"))).toHaveLength(20);
    expect(await boss.fetch("q", { batchSize: 50 })).toHaveLength(20);
    await boss.stop({ close: false, graceful: false });
  });
});

describe("transactions", () => {
  test("the store beside one's own transaction is refused at once, instead of waiting for ever", async () => {
    const wrong = store.transaction(async () => store.db.selectFrom("meta").selectAll().execute());
    await expect(wrong).rejects.toThrow(/inside an open transaction/);
    const nested = store.transaction(async () => store.transaction(async () => 1));
    await expect(nested).rejects.toThrow(/inside an open transaction/);
    expect(await store.transaction(async () => 1)).toBe(1);
  });

  test("work that a transaction leaves behind may use the store once it has ended", async () => {
    const go = deferred();
    let later: Promise<unknown> | undefined;
    await store.transaction(async () => {
      later = go.promise.then(() => store.db.selectFrom("meta").selectAll().execute());
    });
    go.resolve();
    await expect(later).resolves.toBeInstanceOf(Array);
  });

  test("a listener is called after the commit, outside of it, and may query", async () => {
    const heard = deferred<unknown[]>();
    const stop = await store.listen(
      "heard",
      () => heard.resolve(store.db.selectFrom("meta").selectAll().execute() as never),
      () => {},
    );
    await store.transaction((tx) => store.notify(tx, "heard", "x"));
    expect(Array.isArray(await heard.promise)).toBe(true);
    await stop();
    await expect(store.notify(store.db, "heard", "x".repeat(7_001))).rejects.toThrow(/7001/);
    await expect(
      store.listen(
        'x"; drop table meta',
        () => {},
        () => {},
      ),
    ).rejects.toThrow(/channel/);
  });

  test("serialization failures are tried again, others are not", async () => {
    let tries = 0;
    const result = await store.transaction(async (tx) => {
      tries += 1;
      if (tries < 3) await sql`do $$ begin raise exception 'x' using errcode = '40001'; end $$`.execute(tx);
      return tries;
    });
    expect(result).toBe(3);
    const unique = store.transaction((tx) => tx.insertInto("meta").values({ key: "ret", value: "x" }).execute());
    await unique.catch((error: unknown) => {
      expect(isUniqueViolation(error)).toBe(true);
      expect(isUniqueViolation(error, "meta_pkey")).toBe(true);
    });
    await expect(unique).rejects.toThrow();
  });
});

test("facts are minted once, also at the same time", async () => {
  const ids = await Promise.all(Array.from({ length: 10 }, () => instanceId(store.db)));
  expect(new Set(ids).size).toBe(1);
  let minted = 0;
  const mint = () => `v${minted++}`;
  expect(await fact(store.db, "fact", mint)).toBe(await fact(store.db, "fact", mint));
});

test("environments: kept, replaced, listed by last use, deleted", async () => {
  const at = (ms: number) => new Date(ms);
  const environment = (key: string, usedMs: number) => ({
    key,
    image: `env:${key}`,
    image_id: "sha256:x",
    size_bytes: 5_000_000_000,
    base_commit: "0".repeat(40),
    tree_hash: "1".repeat(40),
    created_at: at(0),
    last_used_at: at(usedMs),
  });
  await putEnvironment(store.db, environment("a", 20));
  await putEnvironment(store.db, environment("b", 10));
  await putEnvironment(store.db, { ...environment("a", 30), image: "new" });
  expect((await listEnvironments(store.db, 10)).map((row) => row.key)).toEqual(["b", "a"]);
  const found = await findEnvironment(store.db, "a");
  expect(found?.image).toBe("new");
  expect(Number(found?.size_bytes)).toBe(5_000_000_000);
  expect(await deleteEnvironment(store.db, "a")).toBe(true);
  expect(await deleteEnvironment(store.db, "a")).toBe(false);
});

describe("migrations", () => {
  test("numbers count from 1 without gaps, and run once", async () => {
    expect(migrations.map((step) => step.number)).toEqual(migrations.map((_, index) => index + 1));
    expect(await migrate(store.db)).toEqual({ applied: [] });
  });

  test("a database newer than the code is refused, saying what to do", async () => {
    const known = migrations.slice();
    const next = { number: known.length + 1, name: "of-tomorrow", statements: ["create table tomorrow ()"] };
    expect((await migrate(store.db, [...known, next])).applied).toHaveLength(1);
    await expect(migrate(store.db)).rejects.toMatchObject({
      code: "invalid_config",
      message: expect.stringMatching(/newer than this server.*of-tomorrow.*start a server of at least that version/s),
    });
  });

  test("one that fails leaves nothing", async () => {
    await using fresh = await openStore();
    const bad = { number: migrations.length + 1, name: "bad", statements: ["create table half ()", "nonsense"] };
    await expect(migrate(fresh.db, [...migrations, bad])).rejects.toThrow(/nonsense/);
    const { rows } = await sql`select to_regclass('half') as half`.execute(fresh.db);
    expect(rows).toEqual([{ half: null }]);
  });
});

describe("errors", () => {
  test.each([
    { why: "server down", error: Object.assign(new Error("x"), { code: "ECONNREFUSED" }), code: "store_unavailable" },
    {
      why: "socket file gone",
      error: Object.assign(new Error("x"), { code: "ENOENT", syscall: "connect" }),
      code: "store_unavailable",
    },
    { why: "server shuts down", error: Object.assign(new Error("x"), { code: "57P01" }), code: "store_unavailable" },
    { why: "connection class", error: Object.assign(new Error("x"), { code: "08006" }), code: "store_unavailable" },
    { why: "disk full at the server", error: Object.assign(new Error("x"), { code: "53100" }), code: "disk_full" },
    { why: "disk full here", error: Object.assign(new Error("x"), { code: "ENOSPC" }), code: "disk_full" },
  ])("$why → $code", ({ error, code }) => {
    expect(translate(error)).toMatchObject({ code });
  });

  test.each([
    { why: "a constraint is the caller's", error: Object.assign(new Error("x"), { code: "23505" }) },
    {
      why: "a missing file isn't the store",
      error: Object.assign(new Error("x"), { code: "ENOENT", syscall: "open" }),
    },
    { why: "a defect stays a defect", error: new TypeError("x") },
  ])("$why", ({ error }) => {
    expect(translate(error)).toBe(error);
  });

  test("a closed store says so and doesn't hang", async () => {
    const closed = await openStore();
    await closed.close();
    await closed.close();
    await expect(closed.ping()).rejects.toMatchObject({ code: "store_unavailable" });
    await expect(closed.transaction(async () => 1)).rejects.toMatchObject({ code: "store_unavailable" });
    await expect(closed.transaction((tx) => tx.selectFrom("meta").selectAll().execute())).rejects.toMatchObject({
      code: "store_unavailable",
    });
  });
});
