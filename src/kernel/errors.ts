/**
 * Error catalogue: every failure that crosses a room's border has a code from here, and the code alone decides the HTTP
 * status, whose fault it is and whether trying again can help. What untrusted code did is never an error; see outcome.ts.
 */
interface Entry {
  readonly http: number;
  /** caller: mend the request · platform: ours, retried and never scored against an agent */
  readonly fault: "caller" | "platform";
  readonly retryable: boolean;
}

const caller = (http: number, retryable = false): Entry => ({ http, fault: "caller", retryable });
const platform = (http: number, retryable = true): Entry => ({ http, fault: "platform", retryable });

/** Codes are the wire's `error` strings; those of CONTRACT.md keep their spelling for ever. */
export const catalogue = {
  // who may call
  missing_auth: caller(401),
  whitelist_not_ready: platform(503),
  invalid_hotkey: caller(401),
  unauthorized_hotkey: caller(401),
  invalid_signature: caller(401),
  nonce_reused: caller(401),
  stale: caller(401),
  downgrade: caller(401),
  read_auth_required: caller(401),
  forbidden: caller(403),
  too_many_requests: caller(429, true),
  // what was sent
  upload_failed: caller(400),
  upload_timeout: caller(408),
  archive_too_large: caller(400),
  missing_archive: caller(400),
  body_mismatch: caller(400),
  extraction_failed: caller(400),
  invalid_request: caller(400),
  not_found: caller(404),
  batch_not_found: caller(404),
  method_not_allowed: caller(405),
  not_finished: caller(409),
  conflict: caller(409),
  // what there is room for
  too_many_pending: platform(503),
  busy: platform(503),
  shutting_down: platform(503),
  not_ready: platform(503),
  too_many_followers: platform(503),
  // configuration and command line
  invalid_config: caller(400),
  data_dir_locked: caller(409),
  // the platform itself
  store_unavailable: platform(503),
  disk_full: platform(507),
  sandbox_unavailable: platform(503),
  sandbox_failed: platform(500),
  image_missing: platform(500, false),
  git_unreachable: platform(502),
  chain_unavailable: platform(502),
  infra_error: platform(500),
  internal: platform(500, false),
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof catalogue;

/** An error with a catalogue code. The message names the thing, the value, the limit and the next step. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  /** Further fields of the wire body, e.g. `reason`; never secrets, paths or container ids. */
  readonly details: Readonly<Record<string, string | number | boolean>>;

  constructor(
    code: ErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly details?: Readonly<Record<string, string | number | boolean>> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  get httpStatus(): number {
    return catalogue[this.code].http;
  }

  get isPlatformFault(): boolean {
    return catalogue[this.code].fault === "platform";
  }

  get isRetryable(): boolean {
    return catalogue[this.code].retryable;
  }
}

/** Whether trying the same attempt again can help: platform faults that are marked so, and errors nobody foresaw. */
export function isRetryable(error: unknown): boolean {
  return error instanceof AppError ? error.isRetryable : true;
}
