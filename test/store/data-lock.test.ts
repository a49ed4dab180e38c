import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockDataDir } from "../../src/store/data-lock.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "proctor-lock-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const lockFile = () => join(dir, "lock");
const held = (): Record<string, unknown> => JSON.parse(readFileSync(lockFile(), "utf8")) as Record<string, unknown>;

test("the second says who holds it; once given back it is free", async () => {
  const first = await lockDataDir(dir);
  await expect(lockDataDir(dir)).rejects.toMatchObject({
    code: "data_dir_locked",
    message: expect.stringMatching(new RegExp(`process ${process.pid} on .*DATA_DIR to another folder`)),
  });
  await first.release();
  await first.release();
  await (await lockDataDir(dir)).release();
  expect(readdirSync(dir)).toEqual([]);
});

test("a lock left by SIGKILL is taken over", async () => {
  const lockModule = new URL("../../src/store/data-lock.ts", import.meta.url).href;
  const script = `const { lockDataDir } = await import(${JSON.stringify(lockModule)});
    await lockDataDir(${JSON.stringify(dir)}); console.log("held"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  await expect(lockDataDir(dir)).rejects.toMatchObject({
    code: "data_dir_locked",
    message: expect.stringContaining(`process ${child.pid}`),
  });
  child.kill("SIGKILL");
  await once(child, "exit");
  await (await lockDataDir(dir)).release();
});

test.each([
  { why: "its process id is used by another process now", change: { started: "1" } },
  { why: "its process is gone", change: { pid: 4_194_303 } },
])("a left lock is taken over when $why", async ({ change }) => {
  const lock = await lockDataDir(dir);
  const left = { ...held(), token: "other", ...change };
  await lock.release();
  writeFileSync(lockFile(), JSON.stringify(left));
  await (await lockDataDir(dir)).release();
});

test("a holder elsewhere is watched: alive while it touches the file, dead when it doesn't", async () => {
  const lock = await lockDataDir(dir);
  const foreign = JSON.stringify({ ...held(), token: "other", place: "another host", host: "other-host" });
  await lock.release();
  writeFileSync(lockFile(), foreign);
  const touching = setInterval(() => utimesSync(lockFile(), new Date(), new Date()), 20);
  await expect(lockDataDir(dir, 200)).rejects.toMatchObject({
    code: "data_dir_locked",
    message: expect.stringContaining("other-host"),
  });
  clearInterval(touching);
  await (await lockDataDir(dir, 100)).release();
});

test.each(["", "{", "[]", '{"pid":"x"}', "\0\0\0"])(
  "a damaged lock file %j is watched, then taken over",
  async (text) => {
    writeFileSync(lockFile(), text);
    await (await lockDataDir(dir, 50)).release();
  },
);

test("many at once over a left lock: exactly one gets it", async () => {
  writeFileSync(
    lockFile(),
    JSON.stringify({ ...{ pid: 4_194_303, started: "1", host: "h", since: "s", token: "t" }, place: "x" }),
  );
  const tries = await Promise.allSettled(Array.from({ length: 12 }, () => lockDataDir(dir, 50)));
  const got = tries.filter((each) => each.status === "fulfilled");
  expect(got).toHaveLength(1);
  await got[0]?.value.release();
  expect(readdirSync(dir)).toEqual([]);
});
