/** Branded identifiers: parsed once at a door, trusted afterwards. */
declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** UUID v4 of a batch, lower case; minted at the first vote for an archive. */
export type BatchId = Brand<string, "BatchId">;
/** A task's id inside its archive: 1–200 printable characters; may hold `/`. */
export type TaskId = Brand<string, "TaskId">;
/** 32 public key bytes of an sr25519 key as 64 lower-case hex digits: the identity of a validator. */
export type PublicKeyHex = Brand<string, "PublicKeyHex">;
/** SS58 spelling (prefix 42) of a public key: what people read, never what is compared. */
export type Hotkey = Brand<string, "Hotkey">;
/** SHA-256 as 64 lower-case hex digits. */
export type Digest = Brand<string, "Digest">;

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const HEX_64 = /^[0-9a-f]{64}$/;

/** @returns the id, or undefined where `text` is not a lower-case UUID v4 */
export function parseBatchId(text: string): BatchId | undefined {
  return UUID_V4.test(text) ? (text as BatchId) : undefined;
}

/** @returns the digest, or undefined where `text` is not 64 lower-case hex digits */
export function parseDigest(text: string): Digest | undefined {
  return HEX_64.test(text) ? (text as Digest) : undefined;
}

/** @returns the key, or undefined where `text` is not 64 lower-case hex digits */
export function parsePublicKeyHex(text: string): PublicKeyHex | undefined {
  return HEX_64.test(text) ? (text as PublicKeyHex) : undefined;
}
