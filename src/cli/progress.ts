/** What a watcher sees of a batch: the state that events lead to (pure), and two ways to show it. */

import * as v from "valibot";
import { isEnd, type LiveEvent, taskSummary } from "./client/wire.ts";
import { harmlessLine, type Terminal } from "./terminal.ts";

const REDRAW_MS = 120;
const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const LAST_LINE_CHARS_MAX = 200;
/** rows that are drawn over at most; the others are counted in one line */
const ROWS_MAX = 20;

export interface TaskView {
  readonly status: string;
  readonly phase: string;
  readonly sinceMs: number;
  readonly passed: boolean | null;
  readonly reward: number;
  readonly lastLine: string;
}

export interface BatchView {
  readonly status: string;
  readonly totalTasks: number;
  readonly tasks: ReadonlyMap<string, TaskView>;
  readonly error: string;
}

export const emptyView: BatchView = { status: "pending", totalTasks: 0, tasks: new Map(), error: "" };
const newTask: TaskView = { status: "queued", phase: "", sinceMs: 0, passed: null, reward: 0, lastLine: "" };

/** The state after one more event; `nowMs` marks when a phase began. */
export function advance(view: BatchView, event: LiveEvent, nowMs: number): BatchView {
  const { data } = event;
  switch (event.event) {
    case "snapshot": {
      const tasks = v.safeParse(v.array(taskSummary), data.tasks);
      const known = new Map(view.tasks);
      for (const task of tasks.success ? tasks.output : []) {
        const before = known.get(task.task_id) ?? { ...newTask, sinceMs: nowMs };
        known.set(task.task_id, { ...before, status: task.status, passed: task.passed, reward: task.reward });
      }
      const error = typeof data.error === "string" ? data.error : view.error;
      return {
        status: text(data.status, view.status),
        totalTasks: count(data.total_tasks, view.totalTasks),
        tasks: known,
        error,
      };
    }
    case "batch_started":
      return { ...view, status: "running", totalTasks: count(data.total_tasks, view.totalTasks) };
    case "batch_complete":
      return { ...view, status: text(data.status, "completed"), error: text(data.error, view.error) };
    case "task_started":
      return withTask(view, event.task_id, { status: "running", sinceMs: nowMs });
    case "task_retry":
      return withTask(view, event.task_id, { status: "queued", phase: "retry", sinceMs: nowMs });
    case "task_phase":
      return data.state === "started"
        ? withTask(view, event.task_id, {
            phase: text(data.phase, "?"),
            status: "running",
            sinceMs: nowMs,
            lastLine: "",
          })
        : view;
    case "log": {
      const lines = text(data.text, "")
        .split("\n")
        .filter((line) => line.trim() !== "");
      return lines.length === 0
        ? view
        : withTask(view, event.task_id, { lastLine: harmlessLine(lines.at(-1) ?? "", LAST_LINE_CHARS_MAX) });
    }
    case "task_complete":
      return withTask(view, event.task_id, {
        status: text(data.status, "completed"),
        passed: typeof data.passed === "boolean" ? data.passed : null,
        reward: typeof data.reward === "number" ? data.reward : 0,
      });
    default:
      return view; // an event of a newer server
  }
}

function withTask(view: BatchView, taskId: string | undefined, change: Partial<TaskView>): BatchView {
  if (taskId === undefined) return view;
  return { ...view, tasks: new Map(view.tasks).set(taskId, { ...(view.tasks.get(taskId) ?? newTask), ...change }) };
}

const text = (value: unknown, fallback: string) => (typeof value === "string" ? value : fallback);
const count = (value: unknown, fallback: number) => (typeof value === "number" ? value : fallback);

/** Shows events until it is stopped: drawn over on a terminal, a line an event elsewhere. */
export interface ProgressView extends Disposable {
  show(event: LiveEvent): void;
  readonly state: BatchView;
}

export function createProgressView(terminal: Terminal, now: () => number): ProgressView {
  let state = emptyView;
  if (!terminal.isTTY) {
    return {
      show(event) {
        state = advance(state, event, now());
        const line = plainLine(event);
        if (line !== "") terminal.write(`${line}\n`);
      },
      get state() {
        return state;
      },
      [Symbol.dispose]: () => {},
    };
  }
  let drawn = 0;
  let frame = 0;
  const draw = () => {
    const lines = drawing(state, now(), FRAMES[frame++ % FRAMES.length] ?? "", terminal.columns);
    terminal.write(`${drawn > 0 ? `\u001b[${drawn}A` : ""}\r\u001b[J${lines.join("\n")}\n`);
    drawn = lines.length;
  };
  const timer = setInterval(draw, REDRAW_MS);
  timer.unref();
  return {
    show(event) {
      state = advance(state, event, now());
    },
    get state() {
      return state;
    },
    [Symbol.dispose]: () => {
      clearInterval(timer);
      draw();
    },
  };
}

/** The lines of one picture, none wider than the terminal. */
export function drawing(view: BatchView, nowMs: number, spinner: string, columns: number): string[] {
  const entries = [...view.tasks].sort(([a], [b]) => (a < b ? -1 : 1));
  const isOver = (task: TaskView) => isEnd(task.status);
  const over = entries.filter(([, task]) => isOver(task)).length;
  const lines = [
    `batch ${view.status}: ${over} of ${view.totalTasks} tasks${view.error === "" ? "" : ` (${view.error})`}`,
  ];
  const width = Math.min(40, Math.max(0, ...entries.map(([id]) => id.length)));
  // Those under way first, where not all fit.
  const shown =
    entries.length <= ROWS_MAX ? entries : [...entries].sort(([, a], [, b]) => Number(isOver(a)) - Number(isOver(b)));
  for (const [id, task] of shown.slice(0, ROWS_MAX)) {
    const mark = isOver(task) ? (task.passed === true ? "✓" : "✗") : task.status === "queued" ? "·" : spinner;
    const what = isOver(task) ? verdictWord(task) : task.phase === "" ? task.status : task.phase;
    const seconds = isOver(task) || task.sinceMs === 0 ? "" : `${((nowMs - task.sinceMs) / 1000).toFixed(1)} s`;
    const tail = isOver(task) ? "" : task.lastLine;
    lines.push(
      `  ${mark} ${harmlessLine(id, width).padEnd(width)}  ${what.padEnd(12)} ${seconds.padStart(8)}  ${tail}`,
    );
  }
  if (entries.length > ROWS_MAX) lines.push(`  … and ${entries.length - ROWS_MAX} more`);
  return lines.map((line) => harmlessCut(line, columns - 1));
}

function harmlessCut(line: string, charsMax: number): string {
  const points = [...line.replace(/\p{C}/gu, "\ufffd")];
  return points.length <= charsMax
    ? line.replace(/\p{C}/gu, "\ufffd").trimEnd()
    : `${points.slice(0, Math.max(0, charsMax - 1)).join("")}…`;
}

const verdictWord = (task: TaskView) =>
  task.passed === true ? "passed" : task.passed === false ? "failed" : task.status;

/** One line for an event, without a terminal; empty where it says nothing that a reader of a log needs. */
export function plainLine(event: LiveEvent): string {
  const { data } = event;
  const word = (value: unknown) => harmlessLine(String(value ?? ""), 80);
  const id = harmlessLine(event.task_id ?? "", 120);
  switch (event.event) {
    case "batch_started":
      return `batch started: ${word(data.total_tasks)} tasks`;
    case "task_phase":
      return data.state === "started" ? `${id}: ${word(data.phase)}` : "";
    case "task_retry":
      return `${id}: again, after a fault of the platform`;
    case "task_complete":
      return `${id}: ${data.passed === true ? "passed" : data.passed === false ? "failed" : word(data.status)}, reward ${word(data.reward)}`;
    case "batch_complete":
      return `batch ${word(data.status)}: ${word(data.passed)} passed, ${word(data.failed)} failed, reward ${word(data.reward)}`;
    default:
      return "";
  }
}
