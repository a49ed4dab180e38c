/**
 * sr25519 signatures over `hotkey + nonce`, as CONTRACT.md has them. The library (schnorrkel in JavaScript) refuses a
 * cleared marker bit, a scalar ≥ the group order, a non-canonical point and the identity key; some by a throw, which is a
 * refusal here. One verification costs 2–3 ms of processor time: see `limiter.ts`.
 */
import { sr25519Verify } from "@polkadot/util-crypto";
import type { PublicKeyHex } from "../kernel/ids.ts";

const HEX_64_BYTES = /^(?:0x)?([0-9a-f]{128})$/i;
/** Order of the group, 2^252 + …; a signature's scalar is below it. */
const GROUP_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

/** @returns 64 bytes, or undefined where `text` is not 128 hex digits of either case after an optional `0x` */
export function parseSignature(text: string): Uint8Array | undefined {
  const digits = HEX_64_BYTES.exec(text)?.[1];
  return digits === undefined ? undefined : new Uint8Array(Buffer.from(digits, "hex"));
}

/**
 * Whether the bytes could be a signature at all: marker bit set, scalar in 1..order-1, even point. Costs microseconds;
 * fifteen in sixteen random strings with the marker bit end here. A true says nothing about who signed what.
 */
export function isWellFormed(signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  const last = signature[63] ?? 0;
  if ((last & 0x80) === 0 || ((signature[0] ?? 0) & 1) !== 0) return false;
  const scalarLittleEndian = Buffer.from(signature.subarray(32));
  scalarLittleEndian[31] = last & 0x7f;
  const scalar = BigInt(`0x${scalarLittleEndian.reverse().toString("hex")}`);
  return scalar > 0n && scalar < GROUP_ORDER;
}

/**
 * Whether `signature` is one of `publicKey` over `message`, raw or wrapped in `<Bytes>…</Bytes>` as browser wallets sign.
 * @param message signed text; UTF-8
 * @returns false for whatever is wrong; never throws
 */
export function verifySignature(message: string, signature: Uint8Array, publicKey: PublicKeyHex): boolean {
  if (!isWellFormed(signature)) return false;
  const key = Buffer.from(publicKey, "hex");
  try {
    // Bytes, never the text itself: the library reads a string that begins with 0x as hex. A throw means that the
    // bytes are no signature of anything, so the second form is not tried.
    return (
      sr25519Verify(new TextEncoder().encode(message), signature, key) ||
      sr25519Verify(new TextEncoder().encode(`<Bytes>${message}</Bytes>`), signature, key)
    );
  } catch {
    return false;
  }
}
