/**
 * One attempt from its claim to its end. The result of untrusted code is a value and is stored; a throw is the platform's
 * fault and is retried; an abort is an order of ours, and its reason says what becomes of the attempt:
 * - `handBack`: the server stops; the task goes back into the queue, the attempt is `lost`;
 * - `fenced`: somebody else has ended it (cancelled, expired); there is nothing left to store.
 */
import type { AttemptInput, Evaluator } from "../evaluation/port.ts";
import { AppError } from "../kernel/errors.ts";
import type { BatchId } from "../kernel/ids.ts";
import type { BlobStore } from "../store/port.ts";
import { type AttemptEnd, type AttemptEnded, endAttempt, recordProgress } from "./attempts.ts";
import type { Claim, Core } from "./core.ts";
import type { SchedulerHooks, SchedulerLogger } from "./hooks.ts";
import type { AttemptSpec } from "./opening.ts";
import { AttemptRecorder } from "./recorder.ts";
import { keepResult } from "./records.ts";
import { giveBack } from "./recovery.ts";
import { canRetry, faultCode, faultForOperators, faultForReaders, retryDelayMs } from "./retry-policy.ts";

export type AbortOrder = "handBack" | "fenced";

/** Reason of an abort that scheduling orders. */
export class OrderedAbort extends Error {
  override readonly name = "OrderedAbort";
  readonly order: AbortOrder;

  constructor(order: AbortOrder) {
    super(order === "handBack" ? "the server stops; the task is handed back" : "the attempt was ended elsewhere");
    this.order = order;
  }
}

export interface AttemptRunner {
  readonly core: Core;
  readonly blobs: BlobStore;
  readonly evaluator: Evaluator;
  readonly hooks: SchedulerHooks;
  readonly logger: SchedulerLogger | undefined;
  /** aborts when the process must not wait for the store any longer */
  readonly giveUp: AbortSignal;
  /** makes the claimer look again then: a retry falls due */
  readonly wakeAfter: (ms: number) => void;
}

/** First wait after the store did not take a result; doubles up to the second. */
const STORE_WAIT_FIRST_MS = 250;
const STORE_WAIT_MAX_MS = 5_000;

/** Runs it to its end. Never throws. @param abort aborted with an OrderedAbort */
export async function runAttempt(runner: AttemptRunner, claim: Claim, abort: AbortController): Promise<void> {
  const { core, logger } = runner;
  const fields = { batch: claim.batchId, task: claim.taskId, attempt: claim.attempt };
  const startedMs = core.clock.monotonicMs();
  const recorder = new AttemptRecorder({
    taskId: claim.taskId,
    clock: core.clock,
    sink: (events, status) => recordProgress(core, claim, events, status),
    onLost: () => abort.abort(new OrderedAbort("fenced")),
    onError: (error) => logger?.warn({ ...fields, err: String(error) }, "progress waits: the store doesn't take it"),
  });
  const durationMs = () => Math.max(0, Math.round(core.clock.monotonicMs() - startedMs));
  try {
    const outcome = await evaluate(runner, claim, recorder, abort.signal);
    const events = await recorder.close();
    if (outcome.kind === "ordered") {
      if (outcome.order === "fenced") return;
      const row = { batch_id: claim.batchId, task_id: claim.taskId, attempt: claim.attempt, job_id: claim.jobId };
      await persist(runner, () => giveBack(core, row, "handed_back", events));
      runner.hooks.attemptEnded?.({ ...fields, end: "handedBack", durationMs: durationMs() });
      return;
    }
    const end: AttemptEnd =
      outcome.kind === "judged"
        ? await judgedEnd(runner, claim, outcome.result, events, durationMs())
        : faultEnd(runner, claim, outcome.error, events, durationMs());
    const ended = await persist(runner, () => endAttempt(core, claim, end));
    if (ended.kind === "requeued") runner.wakeAfter(ended.delayMs + 20);
    report(runner, fields, outcome, ended, durationMs());
  } catch (error) {
    // The store was not to be had until the process had to go, or we have a defect. The attempt still says `running`:
    // the next start of this DATA_DIR gives it back, and until then the session's time limit holds.
    logger?.error({ ...fields, err: String(error) }, "attempt ended, but its end could not be stored");
  }
}

type Evaluated =
  | { readonly kind: "judged"; readonly result: Awaited<ReturnType<Evaluator["evaluate"]>> }
  | { readonly kind: "fault"; readonly error: unknown }
  | { readonly kind: "ordered"; readonly order: AbortOrder };

async function evaluate(
  runner: AttemptRunner,
  claim: Claim,
  recorder: AttemptRecorder,
  signal: AbortSignal,
): Promise<Evaluated> {
  try {
    const spec = await loadSpec(runner.blobs, claim);
    signal.throwIfAborted();
    const input: AttemptInput = { batchId: claim.batchId as BatchId, attempt: claim.attempt, ...spec };
    return { kind: "judged", result: await runner.evaluator.evaluate(input, recorder, signal) };
  } catch (error) {
    // An abort of ours wins over what it made the evaluator throw.
    if (signal.aborted && signal.reason instanceof OrderedAbort) return { kind: "ordered", order: signal.reason.order };
    return { kind: "fault", error };
  }
}

async function loadSpec(blobs: BlobStore, claim: Claim): Promise<AttemptSpec> {
  const bytes = await blobs.get(claim.specBlob);
  if (bytes === undefined) throw new AppError("infra_error", "the kept description of this task is gone");
  return JSON.parse(bytes.toString("utf8")) as AttemptSpec;
}

async function judgedEnd(
  runner: AttemptRunner,
  claim: Claim,
  result: Extract<Evaluated, { kind: "judged" }>["result"],
  events: AttemptEnd["events"],
  durationMs: number,
): Promise<AttemptEnd> {
  const columns = await persist(runner, () => keepResult(runner.blobs, result));
  const { verdict, reason, reward, error } = result;
  return {
    command: () => ({ kind: "judge", attempt: claim.attempt, verdict, reason, reward, error }),
    events,
    durationMs,
    columns,
    delayMs: () => 0,
    retryReason: "",
  };
}

function faultEnd(
  runner: AttemptRunner,
  claim: Claim,
  error: unknown,
  events: AttemptEnd["events"],
  durationMs: number,
): AttemptEnd {
  const { retry, random } = runner.core;
  const drawn = random();
  return {
    command: ({ faults }) => ({
      kind: "fault",
      attempt: claim.attempt,
      count: faults + 1,
      countMax: retry.faultsMax,
      retryable: canRetry(error),
      error: faultForReaders(error, faults + 1),
    }),
    events,
    durationMs,
    fault: faultForOperators(error),
    delayMs: ({ faults }) => retryDelayMs(retry, faults + 1, drawn),
    retryReason: faultCode(error),
  };
}

/** Tries again while the platform fails and that may pass: no result is lost because the store was away. */
async function persist<T>(runner: AttemptRunner, work: () => Promise<T>): Promise<T> {
  for (let waitMs = STORE_WAIT_FIRST_MS; ; waitMs = Math.min(waitMs * 2, STORE_WAIT_MAX_MS)) {
    try {
      return await work();
    } catch (error) {
      const passing = error instanceof AppError && error.isPlatformFault && error.isRetryable;
      if (!passing || runner.giveUp.aborted) throw error;
      runner.logger?.warn({ err: String(error), waitMs }, "the store doesn't take a result; trying again");
      await runner.core.clock.sleep(waitMs, runner.giveUp).catch(() => undefined);
    }
  }
}

function report(
  runner: AttemptRunner,
  fields: { readonly batch: string; readonly task: string; readonly attempt: number },
  outcome: Exclude<Evaluated, { kind: "ordered" }>,
  ended: AttemptEnded,
  durationMs: number,
): void {
  if (ended.kind === "fenced") return;
  if (outcome.kind === "judged") {
    const { verdict, reason, reward } = outcome.result;
    runner.hooks.attemptEnded?.({ ...fields, end: "judged", verdict, reason, durationMs, result: outcome.result });
    runner.logger?.info({ ...fields, verdict, reason, reward, durationMs }, "task judged");
    return;
  }
  const code = faultCode(outcome.error);
  runner.hooks.attemptEnded?.({
    ...fields,
    end: ended.kind === "ended" ? "gaveUp" : "retried",
    fault: code,
    durationMs,
  });
  const detail = { ...fields, fault: code, err: faultForOperators(outcome.error), durationMs };
  runner.logger?.warn(
    detail,
    ended.kind === "ended" ? "task given up" : "attempt failed on the platform; it is retried",
  );
}
