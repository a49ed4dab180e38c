/** Queries and path parts, parsed once. What is malformed is named, with its limit, and never echoed. */
import * as v from "valibot";
import { AppError } from "../../kernel/errors.ts";
import { type BatchId, parseBatchId, type TaskId } from "../../kernel/ids.ts";
import { limits } from "../../kernel/limits.ts";

const wholeNumber = v.pipe(v.string(), v.regex(/^[+-]?\d{1,40}$/), v.transform(Number));
const PAGE_DEFAULT = 100;

/** `concurrent_tasks`: a whole number, clamped to 1..max. @throws AppError `invalid_request` */
export function parseConcurrentTasks(values: readonly string[], max: number): number | undefined {
  const text = only("concurrent_tasks", values);
  if (text === undefined) return undefined;
  const parsed = v.safeParse(wholeNumber, text);
  if (!parsed.success) throw malformed("concurrent_tasks", `a whole number, 1 to ${max}`);
  return Math.min(max, Math.max(1, parsed.output));
}

/** `limit` of a page: 1..batchPageMax. @throws AppError `invalid_request` */
export function parsePageLimit(values: readonly string[]): number {
  const text = only("limit", values);
  if (text === undefined) return PAGE_DEFAULT;
  const parsed = v.safeParse(v.pipe(wholeNumber, v.minValue(1), v.maxValue(limits.batchPageMax)), text);
  if (!parsed.success) throw malformed("limit", `a whole number, 1 to ${limits.batchPageMax}`);
  return parsed.output;
}

/** `before` of a page: the batch_id of the last entry of the page before. @throws AppError `invalid_request` */
export function parsePageCursor(values: readonly string[]): BatchId | undefined {
  const text = only("before", values);
  if (text === undefined) return undefined;
  const id = parseBatchId(text.toLowerCase());
  if (id === undefined) throw malformed("before", "the batch_id that ended the page before");
  return id;
}

/**
 * Where a follower resumes: its Last-Event-ID (the newer of the two on an automatic reconnect), else `since`.
 * @returns a sequence number ≥ 0, or undefined for "from now" @throws AppError `invalid_request`
 */
export function parseSince(values: readonly string[], lastEventId: string | undefined): number | undefined {
  const text = lastEventId !== undefined && lastEventId !== "" ? lastEventId : only("since", values);
  // A client that has heard nothing yet often sends the name without a number.
  if (text === undefined || text === "") return undefined;
  const parsed = v.safeParse(v.pipe(wholeNumber, v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER)), text);
  if (!parsed.success) throw malformed("since", "the seq of the last event received, a whole number ≥ 0");
  return parsed.output;
}

/** @throws AppError `not_found`: an id that can't be one is an id that is not there */
export function parseBatchPath(text: string): BatchId {
  const id = parseBatchId(text.toLowerCase());
  if (id === undefined) throw batchNotFound();
  return id;
}

/**
 * The task id of `/batch/{id}/task/{task_id}`: all that follows, its slashes escaped or not.
 * @param pathname still percent-encoded @throws AppError `not_found`, `invalid_request` where the escapes are malformed
 */
export function parseTaskPath(pathname: string): TaskId {
  const encoded = pathname.split("/").slice(4).join("/");
  let text: string;
  try {
    text = decodeURIComponent(encoded);
  } catch {
    throw malformed("task_id", "percent-encoded UTF-8");
  }
  // NUL can't be stored, so it can't be looked up.
  if (text === "" || text.length > limits.taskIdCharsMax || text.includes("\0")) throw taskNotFound();
  return text as TaskId;
}

export function batchNotFound(): AppError {
  return new AppError("not_found", "No batch has this id. GET /batches lists those that are kept.");
}

export function taskNotFound(): AppError {
  return new AppError("not_found", "This batch has no task of this id. GET /batch/{id} lists its tasks.");
}

function malformed(name: string, wanted: string): AppError {
  return new AppError("invalid_request", `${name} is malformed: it must be ${wanted}`, { details: { field: name } });
}

function only(name: string, values: readonly string[]): string | undefined {
  if (values.length > 1) {
    throw new AppError("invalid_request", `${name} is given ${values.length} times: send it once`, {
      details: { field: name },
    });
  }
  return values[0];
}
