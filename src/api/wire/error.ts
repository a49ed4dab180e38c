/**
 * Error bodies: `{error, message, …details}`. The code decides the status; the contract's messages stand here, so that no
 * room can change what clients rely on. Faults of the platform get a public message: what really happened is in the log,
 * under `request_id`, because it may name paths, endpoints and containers.
 */
import * as v from "valibot";
import { AppError, type ErrorCode } from "../../kernel/errors.ts";

export const errorWire = v.looseObject({ error: v.string(), message: v.string() });
export type ErrorWire = Readonly<Record<string, string | number | boolean>> & {
  readonly error: ErrorCode;
  readonly message: string;
};

export interface ErrorAnswer {
  readonly status: number;
  readonly body: ErrorWire;
  readonly headers: Readonly<Record<string, string>>;
}

/** Messages that clients match on, by CONTRACT.md. `{n}` is the limit in force. */
export const contractMessages: Partial<Record<ErrorCode, string>> = {
  missing_auth: "Missing required headers: X-Hotkey, X-Nonce, X-Signature",
  whitelist_not_ready: "Validator whitelist not yet initialized. Please retry shortly.",
  invalid_hotkey: "Invalid SS58 hotkey format",
  unauthorized_hotkey: "Hotkey is not authorized",
  invalid_signature: "Signature verification failed",
  nonce_reused: "Nonce has already been used",
  upload_failed: "Failed to read uploaded archive",
  archive_too_large: "Archive exceeds maximum size of {n} bytes",
  missing_archive: "No archive file uploaded. Send a multipart form with field 'archive'.",
  too_many_pending: "Too many pending consensus entries. Please retry later.",
  busy: "A batch is already running. Wait for it to complete.",
  extraction_failed: "Failed to extract archive. Ensure it is a valid zip or tar.gz.",
};

/** What outsiders read of the platform's faults. */
const publicMessages: Partial<Record<ErrorCode, string>> = {
  shutting_down: "The server is shutting down. Please retry shortly.",
  not_ready: "The server is not ready yet. Please retry shortly.",
  too_many_followers: "Too many clients follow batches now. Please retry later, or read GET /batch/{id}.",
  store_unavailable: "The store does not answer. Please retry shortly.",
  disk_full: "The server has no disk space left for this. Please retry later.",
  sandbox_unavailable: "The sandbox engine does not answer. Please retry shortly.",
  chain_unavailable: "The chain does not answer. Please retry shortly.",
  git_unreachable: "The git host does not answer. Please retry shortly.",
};
const UNFORESEEN = "The server could not answer this. Its operator finds the cause in the log, under request_id.";

const RETRY_AFTER_SECS: Partial<Record<ErrorCode, number>> = { busy: 30, too_many_pending: 15, too_many_requests: 10 };
const RETRY_AFTER_DEFAULT_SECS = 5;
const TEXT_CHARS_MAX = 500;

export interface ErrorContext {
  /** MAX_ARCHIVE_BYTES */
  readonly archiveBytesMax: number;
  readonly requestId: string;
}

/** Translates whatever was thrown into status, headers and body; an error nobody foresaw is `internal`. */
export function errorAnswer(thrown: unknown, context: ErrorContext): ErrorAnswer {
  const error = thrown instanceof AppError ? thrown : new AppError("internal", UNFORESEEN);
  const status = error.httpStatus;
  const isOurs = status >= 500;
  const fixed = contractMessages[error.code]?.replace("{n}", String(context.archiveBytesMax));
  const said = clean(error.message);
  const message = fixed ?? (isOurs ? (publicMessages[error.code] ?? UNFORESEEN) : said);
  const details: Record<string, string | number | boolean> = {};
  for (const [key, value] of Object.entries(error.details)) {
    // Numbers of a platform fault can't name a path; its texts could.
    if (typeof value !== "string") details[key] = value;
    else if (!isOurs) details[key] = clean(value);
  }
  // A caller's mistake keeps its explanation beside the contract's sentence.
  if (!isOurs && fixed !== undefined && said !== fixed && details.reason === undefined) details.reason = said;
  if (isOurs && fixed === undefined) details.request_id = context.requestId;
  return { status, body: { ...details, error: error.code, message }, headers: retryAfter(error) };
}

/** Retry-After on 429 and 503; a room may say how long in `details.retry_after_secs`. */
function retryAfter(error: AppError): Record<string, string> {
  if (error.httpStatus !== 503 && error.httpStatus !== 429) return {};
  const said = error.details.retry_after_secs;
  const secs = typeof said === "number" ? Math.max(1, Math.ceil(said)) : RETRY_AFTER_SECS[error.code];
  return { "Retry-After": String(secs ?? RETRY_AFTER_DEFAULT_SECS) };
}

/** One line of bounded length, without control characters. */
function clean(text: string): string {
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").trim();
  return line.length <= TEXT_CHARS_MAX ? line : `${line.slice(0, TEXT_CHARS_MAX).toWellFormed()}…`;
}
