import { expect, test } from "vitest";
import type { LiveEvent } from "../../src/cli/client/wire.ts";
import { advance, createProgressView, drawing, emptyView, plainLine } from "../../src/cli/progress.ts";

let seq = 0;
const event = (name: string, data: Record<string, unknown> = {}, taskId?: string): LiveEvent => ({
  event: name,
  seq: seq++,
  data,
  ...(taskId === undefined ? {} : { task_id: taskId }),
});

const story: readonly LiveEvent[] = [
  event("snapshot", {
    status: "running",
    total_tasks: 2,
    tasks: [
      { task_id: "a/1", status: "queued", passed: null, reward: 0 },
      { task_id: "b/2", status: "queued", passed: null, reward: 0 },
    ],
  }),
  event("batch_started", { total_tasks: 2, concurrent_limit: 2 }),
  event("task_started", {}, "a/1"),
  event("task_phase", { phase: "clone", state: "started" }, "a/1"),
  event("task_phase", { phase: "clone", state: "finished" }, "a/1"),
  event("task_phase", { phase: "agent", state: "started" }, "a/1"),
  event("log", { phase: "agent", stream: "stdout", text: "one\n\u001b[31mtwo\u001b[0m\n" }, "a/1"),
];

test("events lead to what is shown: phase, time in it, the last line", () => {
  const view = story.reduce((state, next) => advance(state, next, 1_000), emptyView);
  const lines = drawing(view, 3_500, "⠋", 80);
  expect(lines[0]).toBe("batch running: 0 of 2 tasks");
  expect(lines[1]).toMatch(/^ {2}⠋ a\/1 {2}agent +2\.5 s +/);
  expect(lines[1]).toMatch(/ {2}two$/);
  expect(lines[2]).toMatch(/^ {2}· b\/2 {2}queued/);
});

test("an agent can't draw on the terminal, whatever it prints, and no line is wider than it", () => {
  const nasty = event("log", { phase: "agent", text: `\u001b[2J\u001b]0;owned\u0007\u202e${"W".repeat(500)}` }, "a/1");
  const view = [...story, nasty].reduce((state, next) => advance(state, next, 0), emptyView);
  for (const line of drawing(view, 1, "⠋", 60)) {
    expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
    expect([...line].length).toBeLessThan(60);
  }
});

test("the end of tasks and of the batch", () => {
  const end = [
    event("task_complete", { status: "completed", passed: true, reward: 1 }, "a/1"),
    event("task_complete", { status: "failed", passed: false, reward: 0 }, "b/2"),
    event("batch_complete", { status: "completed", passed: 1, failed: 1, reward: 0.5 }),
  ];
  const view = [...story, ...end].reduce((state, next) => advance(state, next, 0), emptyView);
  const lines = drawing(view, 0, "⠋", 80);
  expect(lines[0]).toBe("batch completed: 2 of 2 tasks");
  expect(lines[1]).toMatch(/✓ a\/1 {2}passed/);
  expect(lines[2]).toMatch(/✗ b\/2 {2}failed/);
});

test("a thousand tasks fit on a screen, those under way first", () => {
  const tasks = Array.from({ length: 1_000 }, (_, n) => ({
    task_id: `t/${n}`,
    status: n < 990 ? "completed" : "running",
    passed: true,
    reward: 1,
  }));
  const view = advance(emptyView, event("snapshot", { status: "running", total_tasks: 1_000, tasks }), 0);
  const lines = drawing(view, 0, "⠋", 80);
  expect(lines).toHaveLength(22);
  expect(lines.filter((line) => line.includes("⠋"))).toHaveLength(10);
  expect(lines.at(-1)).toContain("980 more");
});

test.for([
  { why: "data of another form", next: event("snapshot", { status: 5, total_tasks: "x", tasks: "none" }) },
  { why: "no task id", next: event("task_phase", { phase: "agent", state: "started" }) },
  { why: "an event of a newer server", next: event("comet_sighted", {}) },
])("what is not understood changes nothing: $why", ({ next }) => {
  expect(advance(emptyView, next, 0)).toEqual(emptyView);
});

test("without a terminal each step is a line, and nothing moves the cursor", () => {
  const written: string[] = [];
  const view = createProgressView({ isTTY: false, columns: 80, write: (text) => void written.push(text) }, () => 0);
  for (const next of story) view.show(next);
  view[Symbol.dispose]();
  expect(written).toEqual(["batch started: 2 tasks\n", "a/1: clone\n", "a/1: agent\n"]);
  expect(plainLine(event("task_complete", { passed: null, status: "failed", reward: 0 }, "a\u001b[2J"))).toBe(
    "a: failed, reward 0",
  );
});

test("on a terminal the picture is drawn over and stays at the end", () => {
  const written: string[] = [];
  const view = createProgressView({ isTTY: true, columns: 80, write: (text) => void written.push(text) }, () => 0);
  for (const next of story) view.show(next);
  view[Symbol.dispose]();
  expect(written.at(-1)).toContain("batch running: 0 of 2 tasks");
});
