import { expect, test } from "vitest";
import type { NewEvent } from "../../src/journal/events.ts";
import type { Clock } from "../../src/kernel/clock.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { limits } from "../../src/kernel/limits.ts";
import { deferred } from "../../src/kernel/signals.ts";
import { AttemptRecorder, joinLogs, splitText } from "../../src/scheduling/recorder.ts";

const log = (text: string, stream = "stdout"): NewEvent => ({
  event: "log",
  taskId: "t",
  data: { phase: "agent", stream, text },
});

test.each([
  { why: "below the limit", text: "abc", max: 4, pieces: ["abc"] },
  { why: "on the limit", text: "abcd", max: 4, pieces: ["abcd"] },
  { why: "a 4-byte character on the cut stays whole (R06)", text: "ab😀cd", max: 4, pieces: ["ab", "😀", "cd"] },
  { why: "two-byte characters", text: "ééé", max: 3, pieces: ["é", "é", "é"] },
  { why: "empty", text: "", max: 4, pieces: [] },
])("split: $why", ({ text, max, pieces }) => {
  expect(splitText(text, max)).toEqual(pieces);
});

test("neighbours of one stream become one event; others keep their order", () => {
  const phase: NewEvent = { event: "task_phase", taskId: "t", data: { phase: "tests", state: "started" } };
  expect(joinLogs([log("a"), log("b"), log("c", "stderr"), phase, log("d"), log("e")])).toEqual([
    log("ab"),
    log("c", "stderr"),
    phase,
    log("de"),
  ]);
});

test("no event is above its limit, and no byte is lost", () => {
  const text = "0123456789é".repeat(5_000);
  const events = joinLogs([log(text)]);
  expect(events.map((event) => event.data.text).join("")).toBe(text);
  for (const event of events) {
    expect(Buffer.byteLength(String(event.data.text))).toBeLessThanOrEqual(limits.logEventBytesMax);
  }
});

function recorder(sink: ConstructorParameters<typeof AttemptRecorder>[0]["sink"], clock: Clock = systemClock) {
  const lost = deferred();
  const errors: unknown[] = [];
  const made = new AttemptRecorder({
    taskId: "t",
    clock,
    sink,
    onLost: lost.resolve,
    onError: (error) => errors.push(error),
  });
  return { made, lost, errors };
}

test("many reports become few writes, in order, with the newest status", async () => {
  const writes: { events: readonly NewEvent[]; status: string | undefined }[] = [];
  const first = deferred();
  const { made } = recorder(async (events, status) => {
    writes.push({ events, status });
    first.resolve();
    return true;
  });
  made.phase("clone", "started");
  for (let index = 0; index < 1_000; index++) made.log("clone", "stdout", "x");
  made.phase("install", "started");
  await first.promise;
  made.log("agent", "stdout", "later");
  expect(await made.close()).toEqual([log("later")]);
  expect(writes).toHaveLength(1);
  expect(writes[0]?.status).toBe("installing_deps");
  expect(writes[0]?.events.map((event) => event.event)).toEqual(["task_phase", "log", "task_phase"]);
});

test("a store that fails keeps nothing from being written later (F08)", async () => {
  const noWait: Clock = { ...systemClock, sleep: async () => {} };
  const written: NewEvent[] = [];
  const done = deferred();
  let failures = 3;
  const { made, errors } = recorder(async (events) => {
    if (failures-- > 0) throw new Error("store away");
    written.push(...events);
    done.resolve();
    return true;
  }, noWait);
  made.phase("agent", "started");
  made.log("agent", "stdout", "one");
  await done.promise;
  expect(errors).toHaveLength(3);
  expect([...written, ...(await made.close())].map((event) => event.event)).toEqual(["task_phase", "log"]);
});

test("a store that stays away costs bounded memory: log text is dropped and said to be", async () => {
  const never = deferred<boolean>();
  const { made } = recorder(() => never.promise);
  for (let index = 0; index < 200; index++) made.log("agent", "stdout", "x".repeat(64 * 1024));
  made.phase("tests", "started");
  never.resolve(true);
  const left = await made.close();
  const bytes = left.reduce((sum, event) => sum + Buffer.byteLength(String(event.data.text ?? "")), 0);
  expect(bytes).toBeLessThan(5 * 1024 ** 2);
  expect(left.some((event) => event.event === "task_phase")).toBe(true);
  expect(JSON.stringify(left.at(-1))).toMatch(/bytes of live output were not kept/);
});

test("an attempt that is another's now is told so", async () => {
  const { made, lost } = recorder(async () => false);
  made.phase("agent", "started");
  await lost.promise;
  await made.close();
});
