/**
 * SS58 text ↔ 32 key bytes. One key has many spellings (other prefixes, hex); only prefix 42 is taken at the door, and
 * only the bytes are ever compared.
 */
import { decodeAddress, encodeAddress } from "@polkadot/util-crypto";
import { type Hotkey, type PublicKeyHex, parsePublicKeyHex } from "../kernel/ids.ts";

const SS58_PREFIX = 42;
/** 35 bytes (prefix, key, checksum) are 47 or 48 base58 digits, and prefix 42 makes the first one `5`. */
const SHAPE = /^5[1-9A-HJ-NP-Za-km-z]{46,47}$/;

export interface ParsedHotkey {
  readonly hotkey: Hotkey;
  readonly publicKey: PublicKeyHex;
}

/** @returns the key, or undefined where `text` is not the canonical SS58 spelling, prefix 42, of 32 bytes */
export function parseHotkey(text: string): ParsedHotkey | undefined {
  // The shape first: the library also takes hex, where it would skip checksum and prefix.
  if (!SHAPE.test(text)) return undefined;
  try {
    const bytes = decodeAddress(text, false, SS58_PREFIX);
    if (bytes.length !== 32 || encodeAddress(bytes, SS58_PREFIX) !== text) return undefined;
    const publicKey = parsePublicKeyHex(Buffer.from(bytes).toString("hex"));
    return publicKey === undefined ? undefined : { hotkey: text as Hotkey, publicKey };
  } catch {
    return undefined;
  }
}

/** @returns the canonical SS58 spelling of a key, prefix 42 */
export function hotkeyOf(publicKey: PublicKeyHex): Hotkey {
  return encodeAddress(Buffer.from(publicKey, "hex"), SS58_PREFIX) as Hotkey;
}
