/**
 * The life of a task, decided without I/O. The same guard stands in SQL (`attempt` and an unfinished status), and the
 * row count there is the answer; this file says what the row becomes.
 *
 *     queued ──claim──▶ cloning_repo ─▶ installing_deps ─▶ running_agent ─▶ running_tests      (phase, in any order)
 *       ▲                     │  judge ─▶ completed (passed) or failed (failed, inconclusive)
 *       └──── fault, lose ────┘  fault, lose, once too often ─▶ failed (inconclusive, infra_error)
 *     any unfinished ──cancel──▶ cancelled (inconclusive) · ──expire──▶ failed (inconclusive, infra_error)
 *
 * The attempt's number is the fence: a command of an attempt that is not the present one is refused.
 */
import { assertNever } from "../kernel/assert-never.ts";
import { type Phase, type Reason, statusOfPhase, type TaskStatus, type Verdict } from "../kernel/outcome.ts";

export interface TaskState {
  readonly status: TaskStatus;
  /** newest attempt, 0 before the first */
  readonly attempt: number;
}

export type TaskCommand =
  | { readonly kind: "claim" }
  | { readonly kind: "phase"; readonly attempt: number; readonly phase: Phase }
  | {
      readonly kind: "judge";
      readonly attempt: number;
      readonly verdict: Verdict;
      readonly reason: Reason | null;
      readonly reward: number;
      readonly error: string | null;
    }
  | {
      readonly kind: "fault";
      readonly attempt: number;
      /** this one and those before it */
      readonly count: number;
      readonly countMax: number;
      readonly retryable: boolean;
      /** what to tell a person when there is no further try */
      readonly error: string;
    }
  | {
      readonly kind: "lose";
      readonly attempt: number;
      readonly count: number;
      readonly countMax: number;
      readonly error: string;
    }
  | { readonly kind: "cancel"; readonly error: string }
  | { readonly kind: "expire"; readonly error: string };

/** What an ended task says; null while it has not ended. */
export interface Ending {
  readonly verdict: Verdict;
  readonly passed: boolean | null;
  readonly reason: Reason | null;
  readonly reward: number;
  readonly error: string | null;
}

export interface TaskStep {
  readonly next: TaskState;
  /** what becomes of the attempt that the command was about; null where there is none */
  readonly attemptState: "running" | "judged" | "fault" | "lost" | null;
  readonly requeue: boolean;
  readonly ending: Ending | null;
}

const finished: ReadonlySet<TaskStatus> = new Set(["completed", "failed", "cancelled"]);
export const runningStatuses = ["cloning_repo", "installing_deps", "running_agent", "running_tests"] as const;
const running: ReadonlySet<TaskStatus> = new Set(runningStatuses);

export function isFinished(status: TaskStatus): boolean {
  return finished.has(status);
}

export function isRunning(status: TaskStatus): boolean {
  return running.has(status);
}

/** @returns what the task becomes, or undefined where the command has come too late or too early */
export function advance(state: TaskState, command: TaskCommand): TaskStep | undefined {
  switch (command.kind) {
    case "claim":
      if (state.status !== "queued") return undefined;
      return step({ status: "cloning_repo", attempt: state.attempt + 1 }, "running");
    case "cancel":
      if (isFinished(state.status)) return undefined;
      return ended(state, "cancelled", isRunning(state.status) ? "lost" : null, undecided("cancelled", command.error));
    case "expire":
      if (isFinished(state.status)) return undefined;
      return ended(state, "failed", isRunning(state.status) ? "lost" : null, undecided("infra_error", command.error));
    case "phase":
      if (!isCurrent(state, command.attempt)) return undefined;
      return step({ ...state, status: statusOfPhase[command.phase] }, "running");
    case "judge":
      if (!isCurrent(state, command.attempt)) return undefined;
      return ended(state, command.verdict === "passed" ? "completed" : "failed", "judged", judged(command));
    case "fault":
      if (!isCurrent(state, command.attempt)) return undefined;
      if (command.retryable && command.count < command.countMax) return requeued(state, "fault");
      return ended(state, "failed", "fault", undecided("infra_error", command.error));
    case "lose":
      if (!isCurrent(state, command.attempt)) return undefined;
      if (command.count < command.countMax) return requeued(state, "lost");
      return ended(state, "failed", "lost", undecided("infra_error", command.error));
    default:
      return assertNever(command);
  }
}

function isCurrent(state: TaskState, attempt: number): boolean {
  return isRunning(state.status) && state.attempt === attempt;
}

function step(next: TaskState, attemptState: TaskStep["attemptState"]): TaskStep {
  return { next, attemptState, requeue: false, ending: null };
}

function requeued(state: TaskState, attemptState: "fault" | "lost"): TaskStep {
  return { next: { ...state, status: "queued" }, attemptState, requeue: true, ending: null };
}

function ended(state: TaskState, status: TaskStatus, attemptState: TaskStep["attemptState"], ending: Ending): TaskStep {
  return { next: { ...state, status }, attemptState, requeue: false, ending };
}

/** A reward outside [0, 1] would be a defect of the judge: it must not reach a sum. */
function judged(command: Extract<TaskCommand, { kind: "judge" }>): Ending {
  const { verdict, reason, error } = command;
  const reward = Number.isFinite(command.reward) ? Math.min(1, Math.max(0, command.reward)) : 0;
  switch (verdict) {
    case "passed":
      return { verdict, passed: true, reason: null, reward, error: null };
    case "failed":
      return { verdict, passed: false, reason, reward, error };
    case "inconclusive":
      return { verdict, passed: null, reason, reward: 0, error: error ?? "this task could not be judged" };
    default:
      return assertNever(verdict);
  }
}

function undecided(reason: Reason, error: string): Ending {
  return { verdict: "inconclusive", passed: null, reason, reward: 0, error };
}
