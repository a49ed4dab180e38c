import { describe, expect, test } from "vitest";
import type { BatchStatus, TaskStatus } from "../../src/kernel/outcome.ts";
import { batchStatuses, taskStatuses } from "../../src/kernel/outcome.ts";
import { advanceBatch, type BatchCommand, isBatchFinished } from "../../src/scheduling/batch-state.ts";
import { advance, isFinished, type TaskCommand } from "../../src/scheduling/task-state.ts";

const judge = (verdict: "passed" | "failed" | "inconclusive", attempt = 2): TaskCommand => ({
  kind: "judge",
  attempt,
  verdict,
  reason: verdict === "passed" ? null : "tests_failed",
  reward: verdict === "passed" ? 1 : 0.5,
  error: null,
});
const fault = (count: number, retryable = true, attempt = 2): TaskCommand => ({
  kind: "fault",
  attempt,
  count,
  countMax: 5,
  retryable,
  error: "platform",
});
const lose = (count: number): TaskCommand => ({ kind: "lose", attempt: 2, count, countMax: 20, error: "lost" });

describe("task", () => {
  test.each<{ why: string; from: TaskStatus; command: TaskCommand; to: object | undefined }>([
    {
      why: "a claim counts the attempt",
      from: "queued",
      command: { kind: "claim" },
      to: { next: { status: "cloning_repo", attempt: 3 }, attemptState: "running" },
    },
    { why: "a running task isn't claimed twice", from: "running_agent", command: { kind: "claim" }, to: undefined },
    {
      why: "a phase shows as status",
      from: "cloning_repo",
      command: { kind: "phase", attempt: 2, phase: "tests" },
      to: { next: { status: "running_tests", attempt: 2 }, ending: null },
    },
    {
      why: "a phase of an older attempt is refused",
      from: "cloning_repo",
      command: { kind: "phase", attempt: 1, phase: "tests" },
      to: undefined,
    },
    {
      why: "passed",
      from: "running_tests",
      command: judge("passed"),
      to: { next: { status: "completed" }, attemptState: "judged", ending: { passed: true, reward: 1, error: null } },
    },
    {
      why: "failing tests are failed with no error",
      from: "running_tests",
      command: judge("failed"),
      to: { next: { status: "failed" }, ending: { verdict: "failed", passed: false, error: null } },
    },
    {
      why: "not judged: passed null, reward 0 whatever was said, error set",
      from: "running_tests",
      command: judge("inconclusive"),
      to: { next: { status: "failed" }, ending: { passed: null, reward: 0, error: "this task could not be judged" } },
    },
    {
      why: "a verdict of an older attempt is refused",
      from: "running_tests",
      command: judge("passed", 1),
      to: undefined,
    },
    { why: "a verdict for a queued task is refused", from: "queued", command: judge("passed"), to: undefined },
    { why: "a second verdict is refused", from: "completed", command: judge("failed"), to: undefined },
    {
      why: "a fault is retried",
      from: "running_agent",
      command: fault(4),
      to: { next: { status: "queued", attempt: 2 }, attemptState: "fault", requeue: true, ending: null },
    },
    {
      why: "the fifth fault is the last",
      from: "running_agent",
      command: fault(5),
      to: {
        next: { status: "failed" },
        attemptState: "fault",
        requeue: false,
        ending: { verdict: "inconclusive", passed: null, reason: "infra_error", reward: 0, error: "platform" },
      },
    },
    {
      why: "what no retry can mend isn't retried",
      from: "running_agent",
      command: fault(1, false),
      to: { requeue: false, ending: { reason: "infra_error" } },
    },
    {
      why: "a restart costs no fault",
      from: "running_tests",
      command: lose(19),
      to: { next: { status: "queued" }, attemptState: "lost", requeue: true },
    },
    {
      why: "but not for ever",
      from: "running_tests",
      command: lose(20),
      to: { next: { status: "failed" }, attemptState: "lost", ending: { reason: "infra_error" } },
    },
    {
      why: "cancel a queued task",
      from: "queued",
      command: { kind: "cancel", error: "x" },
      to: { next: { status: "cancelled" }, attemptState: null, ending: { reason: "cancelled", passed: null } },
    },
    {
      why: "cancel a running task",
      from: "running_agent",
      command: { kind: "cancel", error: "x" },
      to: { next: { status: "cancelled" }, attemptState: "lost" },
    },
    {
      why: "time is up",
      from: "running_agent",
      command: { kind: "expire", error: "x" },
      to: { next: { status: "failed" }, ending: { verdict: "inconclusive", reason: "infra_error" } },
    },
  ])("$why", ({ from, command, to }) => {
    const step = advance({ status: from, attempt: 2 }, command);
    if (to === undefined) expect(step).toBeUndefined();
    else expect(step).toMatchObject(to);
  });

  test("nothing leaves a finished status", () => {
    const commands: TaskCommand[] = [
      { kind: "claim" },
      { kind: "phase", attempt: 2, phase: "agent" },
      judge("passed"),
      fault(1),
      lose(1),
      { kind: "cancel", error: "x" },
      { kind: "expire", error: "x" },
    ];
    for (const status of taskStatuses.filter(isFinished)) {
      for (const command of commands) expect(advance({ status, attempt: 2 }, command)).toBeUndefined();
    }
  });

  test.each([
    { why: "above 1", reward: 7, kept: 1 },
    { why: "below 0", reward: -1, kept: 0 },
    { why: "not a number", reward: Number.NaN, kept: 0 },
  ])("a reward that is $why doesn't reach a sum", ({ reward, kept }) => {
    const command = { ...judge("passed"), reward } as TaskCommand;
    expect(advance({ status: "running_tests", attempt: 2 }, command)?.ending?.reward).toBe(kept);
  });
});

test("batch: every command from every status", () => {
  const allowed: Record<BatchCommand, Partial<Record<BatchStatus, BatchStatus>>> = {
    activate: { pending: "extracting" },
    run: { extracting: "running" },
    complete: { running: "completed" },
    fail: { pending: "failed", extracting: "failed" },
    expire: { pending: "failed", extracting: "failed", running: "completed" },
    cancel: { pending: "cancelled", extracting: "cancelled", running: "cancelled" },
  };
  for (const [command, moves] of Object.entries(allowed)) {
    for (const status of batchStatuses) {
      expect(advanceBatch(status, command as BatchCommand), `${command} from ${status}`).toBe(moves[status]);
      if (isBatchFinished(status)) expect(moves[status]).toBeUndefined();
    }
  }
});
