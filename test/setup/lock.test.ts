import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { deferred } from "../../src/kernel/signals.ts";
import { withLock } from "../../src/setup/lock.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "proctor-lock-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const nobodyWaits = () => {
  throw new Error("nobody should wait");
};

test("the second waits for the first, is told whom for, and nothing is left", async () => {
  const file = join(folder, "lock");
  const firstMayEnd = deferred();
  const order: string[] = [];
  const first = withLock(file, 1_000, nobodyWaits, async () => {
    order.push("first begins");
    await firstMayEnd.promise;
    order.push("first ends");
  });
  const told = deferred<number>();
  const second = withLock(file, 10_000, told.resolve, async () => order.push("second"));
  expect(await told.promise).toBe(process.pid);
  firstMayEnd.resolve();
  await Promise.all([first, second]);
  expect(order).toEqual(["first begins", "first ends", "second"]);
  expect(readdirSync(folder)).toEqual([]);
});

test("the lock of a process that is gone is taken over", async () => {
  const file = join(folder, "lock");
  writeFileSync(file, "999999999");
  expect(await withLock(file, 1_000, nobodyWaits, async () => "in")).toBe("in");
  expect(readdirSync(folder)).toEqual([]);
});

test("a lock that is never released ends the wait with its holder's name", async () => {
  const file = join(folder, "lock");
  writeFileSync(file, "1");
  await expect(
    withLock(
      file,
      150,
      () => {},
      async () => "in",
    ),
  ).rejects.toThrow(/process 1 holds/);
});

test("work that fails releases the lock", async () => {
  const file = join(folder, "lock");
  await expect(
    withLock(file, 1_000, nobodyWaits, async () => {
      throw new Error("no luck");
    }),
  ).rejects.toThrow("no luck");
  expect(readdirSync(folder)).toEqual([]);
});
