/**
 * Foreign errors of the two drivers, translated once. What a statement did wrong (a constraint, a type) passes as it is:
 * the caller's guard reads its `code`. What the platform failed to do becomes an AppError.
 */
import { AppError } from "../kernel/errors.ts";

/** SQLSTATE classes and codes that say "not now": connection, shutdown, out of connections, read-only standby. */
const UNAVAILABLE_CODES = new Set([
  "57P01", // admin_shutdown
  "57P02", // crash_shutdown
  "57P03", // cannot_connect_now
  "57P05", // idle_session_timeout
  "53300", // too_many_connections
  "55P03", // lock_not_available
  "57014", // query_canceled: our own statement timeout
  "25P03", // idle_in_transaction_session_timeout
  "25006", // read_only_sql_transaction
  "3D000", // the database itself is missing
  "28000",
  "28P01", // not let in
]);
const UNAVAILABLE_ERRNO = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "ERR_STREAM_DESTROYED",
]);
const UNAVAILABLE_TEXT =
  /connection terminated|timeout exceeded when trying to connect|timeout expired|query read timeout|client has encountered a connection error|not queryable|cannot use a pool after calling end|pglite is closed|driver has already been destroyed/i;

/** SQLSTATE or errno of an error, where it has one. */
export function codeOf(error: unknown): string | undefined {
  const code = typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** Whether a transaction that failed so may simply be run again. */
export function isConflict(error: unknown): boolean {
  const code = codeOf(error);
  return code === "40001" || code === "40P01";
}

/** Whether a statement failed on the unique constraint or index `name`. */
export function isUniqueViolation(error: unknown, name?: string): boolean {
  if (codeOf(error) !== "23505") return false;
  return name === undefined || (error as { constraint?: unknown }).constraint === name;
}

/** @returns an AppError where the platform failed, else the error itself */
export function translate(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const code = codeOf(error) ?? "";
  if (code === "53100" || code === "ENOSPC" || code === "EDQUOT") {
    return new AppError("disk_full", "the store's disk is full; free space under DATA_DIR or at the database server", {
      cause: error,
    });
  }
  const message = error instanceof Error ? error.message : "";
  const aggregate = error instanceof AggregateError && error.errors.some((inner) => isUnavailable(codeOf(inner) ?? ""));
  if (isUnavailable(code) || isSocketGone(error) || aggregate || UNAVAILABLE_TEXT.test(message)) {
    return new AppError(
      "store_unavailable",
      `the store does not answer (${code === "" ? message.slice(0, 120) : code}); check the database server, then try again`,
      { cause: error },
    );
  }
  return error;
}

/** A unix socket of a server that is down; a missing file is another matter. */
function isSocketGone(error: unknown): boolean {
  return codeOf(error) === "ENOENT" && (error as { syscall?: unknown }).syscall === "connect";
}

function isUnavailable(code: string): boolean {
  return code.startsWith("08") || UNAVAILABLE_CODES.has(code) || UNAVAILABLE_ERRNO.has(code);
}
