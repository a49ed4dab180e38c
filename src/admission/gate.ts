/**
 * The gate: checks 1–6 of CONTRACT.md, in their order, before a byte of the body is read.
 *
 * Cheapest first. Headers, set and key need no cryptography; a version 2 nonce is compared with its request; then the
 * limiter says whether the signature is worth verifying; and only a verified signature touches the store, where the
 * nonce is spent. So a stranger can neither spend a caller's nonce nor pin its version.
 */
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { Hotkey } from "../kernel/ids.ts";
import { limits } from "../kernel/limits.ts";
import type { Store } from "../store/port.ts";
import { SignatureLimiter } from "./limiter.ts";
import { checkNonceV2, isNonceText, isNonceV2, nonceAgeMaxMs } from "./nonce-v2.ts";
import { isPinnedToV2, pinToV2, spendNonce } from "./nonces.ts";
import type { Caller, Gate, SignedHead, ValidatorSet } from "./port.ts";
import { isWellFormed, parseSignature, verifySignature } from "./signature.ts";
import { type ParsedHotkey, parseHotkey } from "./ss58.ts";

/** Longer than any spelling of a signature; a header above it is malformed, not merely wrong. */
const SIGNATURE_CHARS_MAX = 512;

export interface GateOptions {
  readonly store: Store;
  readonly validators: ValidatorSet;
  /** the server's own SS58, which version 2 nonces must name */
  readonly audience: Hotkey;
  /** SIGNATURE_MIN_VERSION */
  readonly minVersion: number;
  readonly clock: Clock;
  readonly limiter?: SignatureLimiter;
}

interface Credentials {
  readonly hotkey: string;
  readonly nonce: string;
  readonly signature: string;
}

export function createGate(options: GateOptions): Gate {
  const limiter = options.limiter ?? new SignatureLimiter(options.clock);
  return {
    async authenticate(head, use) {
      const sent = readHeaders(head);
      const key = identify(sent.hotkey, options.validators);
      const version = isNonceV2(sent.nonce) ? 2 : 1;
      if (version < (use === "control" ? 2 : options.minVersion)) throw invalidSignature("version_2_required");
      const bound = version === 2 ? bind(sent.nonce, head, options) : {};
      verify(sent, key, head.remoteAddress, limiter);
      const caller: Caller = { ...key, nonce: sent.nonce, signature: sent.signature, version, ...bound };
      await spend(caller, use, head.remoteAddress, options, limiter);
      return caller;
    },
  };
}

/** Check 1: each header once, not empty, within its bounds, the nonce printable. */
function readHeaders(head: SignedHead): Credentials {
  const hotkey = only(head.hotkey, limits.hotkeyCharsMax);
  const nonce = only(head.nonce, limits.nonceBytesMax);
  const signature = only(head.signature, SIGNATURE_CHARS_MAX);
  if (hotkey === undefined || nonce === undefined || signature === undefined || !isNonceText(nonce)) {
    throw new AppError("missing_auth", "Missing required headers: X-Hotkey, X-Nonce, X-Signature");
  }
  return { hotkey, nonce, signature };
}

function only(values: readonly string[], charsMax: number): string | undefined {
  const [value, ...more] = values;
  const isOne = value !== undefined && more.length === 0;
  return isOne && value !== "" && value.length <= charsMax ? value : undefined;
}

/** Checks 2–4: there is a set, the hotkey is one, and it is in the set. */
function identify(text: string, validators: ValidatorSet): ParsedHotkey {
  const snapshot = validators.current();
  if (snapshot === undefined || snapshot.keys.size === 0) {
    throw new AppError("whitelist_not_ready", "Validator whitelist not yet initialized. Please retry shortly.");
  }
  const key = parseHotkey(text);
  if (key === undefined) throw new AppError("invalid_hotkey", "Invalid SS58 hotkey format");
  if (!snapshot.keys.has(key.publicKey)) throw new AppError("unauthorized_hotkey", "Hotkey is not authorized");
  return key;
}

/** Check 5, version 2: the nonce was made for this very request, now. */
function bind(nonce: string, head: SignedHead, options: GateOptions): Pick<Caller, "bodyDigest"> {
  const nowMs = options.clock.now();
  const { method, path, concurrentTasks } = head;
  const check = checkNonceV2(nonce, { method, path, concurrentTasks, audience: options.audience, nowMs });
  if (check.ok) return { bodyDigest: check.bodyDigest };
  if (check.kind === "mismatch") throw invalidSignature(check.reason);
  const [secs, side] = [Math.ceil(Math.abs(check.skewMs) / 1_000), check.skewMs > 0 ? "behind" : "ahead of"];
  throw new AppError(
    "stale",
    `The nonce's time is ${secs} s ${side} the server's clock; the limit is ${nonceAgeMaxMs / 1_000} s. Set the clock and sign again.`,
    { details: { server_time_ms: nowMs } },
  );
}

/** Check 5: the signature, after the limiter let it through. */
function verify(sent: Credentials, key: ParsedHotkey, address: string, limiter: SignatureLimiter): void {
  const signature = parseSignature(sent.signature);
  const attempt = signature === undefined ? undefined : { address, publicKey: key.publicKey, signature };
  if (attempt === undefined || !isWellFormed(attempt.signature) || limiter.hasFailedBefore(attempt)) {
    const secs = limiter.refusedCheaply(address);
    throw secs > 0 ? tooManyRequests(secs) : invalidSignature("signature_wrong");
  }
  const secs = limiter.admit(attempt);
  if (secs > 0) throw tooManyRequests(secs);
  if (!verifySignature(key.hotkey + sent.nonce, attempt.signature, key.publicKey)) {
    limiter.failed(attempt);
    throw invalidSignature("signature_wrong");
  }
  limiter.succeeded(attempt);
}

/** Check 6: the nonce, and the version that the key is pinned to. */
async function spend(
  caller: Caller,
  use: "submit" | "control",
  address: string,
  options: GateOptions,
  limiter: SignatureLimiter,
): Promise<void> {
  const now = new Date(options.clock.now());
  const isFresh = await options.store.transaction(async (tx) => {
    if (caller.version === 1 && (await isPinnedToV2(tx, caller.publicKey))) {
      throw new AppError(
        "downgrade",
        "This hotkey has submitted with signature version 2 and may not go back to version 1. Sign with version 2, or ask an administrator for a reset.",
      );
    }
    if (!(await spendNonce(tx, caller.publicKey, caller.nonce, now))) return false;
    if (caller.version === 2 && use === "submit") await pinToV2(tx, caller.publicKey, now);
    return true;
  });
  if (isFresh) return;
  const signature = parseSignature(caller.signature);
  if (signature !== undefined) limiter.replayed({ address, publicKey: caller.publicKey, signature });
  throw new AppError("nonce_reused", "Nonce has already been used");
}

function invalidSignature(reason: string): AppError {
  return new AppError("invalid_signature", "Signature verification failed", { details: { reason } });
}

function tooManyRequests(secs: number): AppError {
  return new AppError("too_many_requests", `Too many failed signatures from here. Try again in ${secs} s.`, {
    details: { retry_after_secs: secs },
  });
}
