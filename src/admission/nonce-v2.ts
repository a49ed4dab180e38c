/**
 * The version 2 nonce: a nonce that binds the request it was made for, so that a captured signature is worth nothing
 * elsewhere or later.
 *
 * `v2.<unix ms>.<16 random bytes, base64url>.<sha256 hex of the body>.<audience>.<concurrent_tasks or ->.<METHOD>/<path>`
 *
 * Only the last field may hold a `.`. Servers that know only version 1 take it as any other nonce. Whatever begins with
 * `v2.` is version 2: it must parse, and never falls back to version 1.
 *
 * The last field can be read in two ways, `POST/submit` and `POST//submit` (the path has a slash of its own). Both bind
 * the same method and path, so both are taken; ours is the first.
 */
import { randomBytes } from "node:crypto";
import { type Digest, parseDigest } from "../kernel/ids.ts";
import { limits } from "../kernel/limits.ts";

/** How far a nonce's time may lie from the server's clock, either way. */
export const nonceAgeMaxMs = 300_000;

const FIELD_COUNT = 7;
const UNIX_MS = /^[1-9]\d{0,14}$/;
/** 16 bytes are 22 digits, the last of which holds two bits only. */
const RANDOM_16 = /^[A-Za-z0-9_-]{21}[AQgw]$/;
/** What the query may hold: clamping comes later, so 0 and less are numbers too. */
const CONCURRENCY = /^(-|[+-]?\d{1,40})$/;
const TARGET = /^([A-Z]{1,16})(\/.*)$/;
const PRINTABLE = /^[\x20-\x7e]+$/;

export interface NonceRequest {
  readonly method: string;
  /** path without query, beginning with `/` */
  readonly path: string;
  /** raw `concurrent_tasks` query value */
  readonly concurrentTasks: string | undefined;
}

export interface NonceContext extends NonceRequest {
  /** the server's own SS58 */
  readonly audience: string;
  readonly nowMs: number;
}

export type NonceCheck =
  | { readonly ok: true; readonly bodyDigest: Digest }
  /** `skewMs` > 0: the nonce is from the past */
  | { readonly ok: false; readonly kind: "stale"; readonly skewMs: number }
  | { readonly ok: false; readonly kind: "mismatch"; readonly reason: NonceReason };

/** Stable codes, the `reason` of `invalid_signature`. */
export type NonceReason =
  | "nonce_malformed"
  | "audience_mismatch"
  | "method_mismatch"
  | "path_mismatch"
  | "concurrent_tasks_mismatch";

/** Whether a nonce claims to be version 2. */
export function isNonceV2(nonce: string): boolean {
  return nonce.startsWith("v2.");
}

/** Checks a version 2 nonce against its request in CONTRACT.md's order: time, audience, method, path, concurrency, the rest. */
export function checkNonceV2(nonce: string, context: NonceContext): NonceCheck {
  const mismatch = (reason: NonceReason): NonceCheck => ({ ok: false, kind: "mismatch", reason });
  const fields = nonce.split(".");
  const [version = "", time = "", random = "", digest = "", audience = "", concurrency = ""] = fields;
  const target = TARGET.exec(fields.slice(FIELD_COUNT - 1).join("."));
  if (version !== "v2" || !UNIX_MS.test(time) || target === null) return mismatch("nonce_malformed");

  const skewMs = context.nowMs - Number(time);
  if (Math.abs(skewMs) > nonceAgeMaxMs) return { ok: false, kind: "stale", skewMs };
  if (audience !== context.audience) return mismatch("audience_mismatch");
  if (target[1] !== context.method) return mismatch("method_mismatch");
  if (target[2] !== context.path && target[2] !== `/${context.path}`) return mismatch("path_mismatch");
  if (concurrency !== (context.concurrentTasks ?? "-")) return mismatch("concurrent_tasks_mismatch");

  const bodyDigest = parseDigest(digest);
  const wellFormed = RANDOM_16.test(random) && CONCURRENCY.test(concurrency) && isNonceText(nonce);
  if (bodyDigest === undefined || !wellFormed) return mismatch("nonce_malformed");
  return { ok: true, bodyDigest };
}

/** Whether a nonce of any version has 1–256 bytes, each 0x20–0x7E. */
export function isNonceText(nonce: string): boolean {
  return nonce.length <= limits.nonceBytesMax && PRINTABLE.test(nonce);
}

export interface NonceInput {
  readonly nowMs: number;
  /** SHA-256 of the archive, or of the raw body */
  readonly bodyDigest: Digest;
  readonly audience: string;
  readonly method: string;
  readonly path: string;
  readonly concurrentTasks?: number;
}

/**
 * Builds a fresh version 2 nonce.
 * @throws RangeError where it would not be taken: longer than 256 bytes (the path is too long) or not printable ASCII
 */
export function buildNonceV2(input: NonceInput): string {
  const random = randomBytes(16).toString("base64url");
  const concurrency = input.concurrentTasks === undefined ? "-" : String(input.concurrentTasks);
  const nonce = `v2.${input.nowMs}.${random}.${input.bodyDigest}.${input.audience}.${concurrency}.${input.method}${input.path}`;
  if (!isNonceText(nonce)) {
    throw new RangeError(
      `nonce for ${input.method} has ${Buffer.byteLength(nonce)} bytes or is not printable ASCII; the limit is ${limits.nonceBytesMax} bytes, so shorten the path`,
    );
  }
  return nonce;
}
