/** Every call to the engine goes through here: it has a deadline, can be aborted, and its errors are translated once. */
import type Docker from "dockerode";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";

/** How long the engine may take, ms. Generous: a busy disk is no fault, a hung runtime is. */
export const deadlines = {
  ping: 5_000,
  inspect: 15_000,
  list: 30_000,
  create: 60_000,
  attach: 15_000,
  start: 60_000,
  kill: 15_000,
  remove: 60_000,
  commit: 600_000,
  size: 120_000,
} as const;

export class Engine {
  readonly docker: Docker;
  readonly clock: Clock;
  /** as a person would write it, for messages */
  readonly endpoint: string;

  constructor(docker: Docker, clock: Clock, endpoint: string) {
    this.docker = docker;
    this.clock = clock;
    this.endpoint = endpoint;
  }

  /**
   * Runs one call. `work` gets a signal that aborts at the deadline or when `signal` does; the promise settles then even
   * if the client library ignores it.
   * @throws AppError of the platform; the reason of `signal` where that aborted
   */
  async call<T>(
    name: keyof typeof deadlines,
    what: string,
    work: (signal: AbortSignal) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    signal?.throwIfAborted();
    const over = new AbortController();
    const abort = () => over.abort(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    const ended = new AbortController();
    const late = this.clock.sleep(deadlines[name], ended.signal).then(
      () =>
        over.abort(new AppError("sandbox_unavailable", `${what}: the engine did not answer in ${deadlines[name]} ms`)),
      () => {},
    );
    const aborted = new Promise<never>((_, reject) => {
      over.signal.addEventListener("abort", () => reject(over.signal.reason), { once: true });
    });
    aborted.catch(() => {});
    try {
      return await Promise.race([work(over.signal), aborted]);
    } catch (error) {
      if (over.signal.aborted) throw over.signal.reason;
      throw this.translate(error, what);
    } finally {
      signal?.removeEventListener("abort", abort);
      ended.abort();
      await late;
    }
  }

  /** The catalogue's error for what the client library threw. */
  translate(error: unknown, what: string): AppError {
    if (error instanceof AppError) return error;
    const { code, statusCode, message } = describe(error);
    if (code !== undefined && unreachable.has(code)) {
      return new AppError(
        "sandbox_unavailable",
        `${what}: no Docker engine answers at ${this.endpoint} (${code}); start it, or set DOCKER_HOST`,
        { cause: error },
      );
    }
    if (/no such image/i.test(message)) {
      return new AppError("image_missing", `${what}: ${message}; build it with "npm run setup"`, { cause: error });
    }
    if (/no space left on device/i.test(message)) {
      return new AppError("disk_full", `${what}: the engine's disk is full; free space under its data folder`, {
        cause: error,
      });
    }
    const status = statusCode === undefined ? "" : ` (HTTP ${statusCode})`;
    return new AppError("sandbox_failed", `${what}: ${message}${status}`, { cause: error });
  }
}

const unreachable = new Set(["ECONNREFUSED", "ENOENT", "EACCES", "ECONNRESET", "EPIPE", "ETIMEDOUT", "ENOTFOUND"]);

function describe(error: unknown): { code: string | undefined; statusCode: number | undefined; message: string } {
  if (typeof error !== "object" || error === null)
    return { code: undefined, statusCode: undefined, message: `${error}` };
  const { code, statusCode, json, message } = error as {
    code?: string;
    statusCode?: number;
    json?: { message?: string };
    message?: string;
  };
  return { code, statusCode, message: (json?.message ?? message ?? "unknown error").trim().slice(0, 500) };
}

/** Whether the engine said that the thing does not exist (any more). */
export function isNotFound(error: unknown): boolean {
  return statusOf(error) === 404;
}

/** Whether the engine said that the thing exists already, or is being removed already. */
export function isConflict(error: unknown): boolean {
  return statusOf(error) === 409;
}

function statusOf(error: unknown): number | undefined {
  const cause = error instanceof AppError ? error.cause : error;
  return (cause as { statusCode?: number } | undefined)?.statusCode;
}
