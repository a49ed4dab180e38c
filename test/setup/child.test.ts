import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  endProcess,
  isRunning,
  onPath,
  processRecord,
  readRecord,
  run,
  startDetached,
  writeRecord,
} from "../../src/setup/child.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "proctor-child-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const script = (text: string) => ["-e", text];
const detached = (text: string) =>
  startDetached(process.execPath, script(text), { logFile: join(folder, "log"), cwd: folder, env: process.env });

test("a program's ending and words come back", async () => {
  const ended = await run(process.execPath, script("console.log('out');console.error('err');process.exitCode=3"), {
    timeoutMs: 10_000,
  });
  expect(ended.exitCode).toBe(3);
  expect(ended.stdout).toBe("out\n");
  expect(ended.tail).toContain("err");
});

test("a flood is kept to its end", async () => {
  const ended = await run(process.execPath, script("process.stdout.write('x'.repeat(1e6)+'END')"), {
    timeoutMs: 10_000,
  });
  expect(ended.tail.length).toBeLessThanOrEqual(16_384);
  expect(ended.tail.endsWith("END")).toBe(true);
});

test.for([
  { why: "out of time", options: { timeoutMs: 100 }, error: /did not end within 0.1 s/ },
  { why: "interrupted", options: { timeoutMs: 10_000, signal: AbortSignal.timeout(100) }, error: /abort/i },
])("a program that stays is ended: $why", async ({ options, error }) => {
  await expect(run(process.execPath, script("setInterval(()=>{},1e3)"), options)).rejects.toThrow(error);
});

test("a program that is not there is an error that says so", async () => {
  await expect(run("no-such-program-here", [], { timeoutMs: 1_000 })).rejects.toThrow(/ENOENT/);
  expect(await onPath("no-such-program-here")).toBe(false);
  expect(await onPath("sh")).toBe(true);
});

test("a detached program is recorded, found again and ended, even one that ignores SIGTERM", async () => {
  const stubborn = await detached("process.on('SIGTERM',()=>{});console.log('up');setInterval(()=>{},1e3)");
  const file = join(folder, "record.json");
  writeRecord(file, stubborn);
  const found = readRecord(file, processRecord);
  expect(found).toEqual(stubborn);
  expect(isRunning(stubborn)).toBe(true);
  await expect.poll(() => readFileSync(join(folder, "log"), "utf8"), { timeout: 10_000 }).toContain("up");
  expect(await endProcess(stubborn, 100)).toBe(true);
  expect(isRunning(stubborn)).toBe(false);
  expect(await endProcess(stubborn, 100), "twice is fine").toBe(false);
});

test("a process that only has the number of ours is left alone", async () => {
  const other = { pid: process.pid, startTicks: "1" };
  expect(isRunning(other)).toBe(false);
  expect(await endProcess(other, 100)).toBe(false);
});

test.for([
  { why: "absent", content: undefined },
  { why: "not JSON", content: "{" },
  { why: "another form", content: '{"pid":"x"}' },
  { why: "would be init or a group", content: '{"pid":1}' },
])("a record that is $why is none", ({ content }) => {
  const file = join(folder, "record.json");
  if (content !== undefined) writeFileSync(file, content);
  expect(readRecord(file, processRecord)).toBeUndefined();
});
