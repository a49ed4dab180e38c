import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isWellFormed, parseSignature, verifySignature } from "../../src/admission/signature.ts";
import { parseHotkey } from "../../src/admission/ss58.ts";
import type { PublicKeyHex } from "../../src/kernel/ids.ts";
import { alice, bob } from "./support/kit.ts";

const message = `${alice.hotkey}some nonce`;
const good = alice.sign(Buffer.from(message));
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

function changed(change: (bytes: Buffer) => void): Uint8Array {
  const bytes = Buffer.from(good);
  change(bytes);
  return new Uint8Array(bytes);
}

/** Adds the group's order to the scalar: the same number to a verifier that doesn't look. */
function plusOrder(bytes: Buffer): void {
  let scalar = BigInt(
    `0x${Buffer.from(changed((b) => b.writeUInt8(b.readUInt8(63) & 0x7f, 63)).subarray(32))
      .reverse()
      .toString("hex")}`,
  );
  scalar += ORDER;
  for (let index = 32; index < 64; index++, scalar >>= 8n) bytes.writeUInt8(Number(scalar & 0xffn), index);
  bytes.writeUInt8(bytes.readUInt8(63) | 0x80, 63);
}

describe("A02 signatures that are none", () => {
  it("takes the good one, so that the refusals below mean something", () => {
    expect(isWellFormed(good)).toBe(true);
    expect(verifySignature(message, good, alice.publicKey)).toBe(true);
  });

  it.each([
    { why: "63 bytes", bytes: good.subarray(0, 63) },
    { why: "65 bytes", bytes: new Uint8Array([...good, 0]) },
    { why: "no bytes", bytes: new Uint8Array() },
    { why: "zeros", bytes: new Uint8Array(64) },
    { why: "zeros with the marker bit", bytes: new Uint8Array(64).fill(0x80, 63) },
    { why: "ones", bytes: new Uint8Array(64).fill(0xff) },
    { why: "marker bit cleared", bytes: changed((b) => b.writeUInt8(b.readUInt8(63) & 0x7f, 63)) },
    { why: "scalar plus the group's order", bytes: changed(plusOrder) },
    { why: "bit 6 of the last byte flipped", bytes: changed((b) => b.writeUInt8(b.readUInt8(63) ^ 0x40, 63)) },
    { why: "an odd, so negative, point", bytes: changed((b) => b.writeUInt8(b.readUInt8(0) ^ 1, 0)) },
    { why: "a bit of the scalar flipped", bytes: changed((b) => b.writeUInt8(b.readUInt8(40) ^ 1, 40)) },
    { why: "halves swapped", bytes: new Uint8Array([...good.subarray(32), ...good.subarray(0, 32)]) },
    { why: "another key's", bytes: bob.sign(Buffer.from(message)) },
    { why: "of another message", bytes: alice.sign(Buffer.from(`${message}.`)) },
    { why: "of half a wrapping", bytes: alice.sign(Buffer.from(`<Bytes>${message}`)) },
    { why: "wrapped twice", bytes: alice.sign(Buffer.from(`<Bytes><Bytes>${message}</Bytes></Bytes>`)) },
  ])("refuses $why, without a throw", ({ bytes }) => {
    expect(verifySignature(message, bytes, alice.publicKey)).toBe(false);
  });

  it("refuses the identity as a key", () => {
    const identity = "0".repeat(64) as PublicKeyHex;
    const zeroScalar = new Uint8Array(64).fill(1, 32, 33).fill(0x80, 63);
    expect(verifySignature(message, zeroScalar, identity)).toBe(false);
  });

  it("does not read a message that looks like hex as bytes", () => {
    const text = "0x616263";
    expect(verifySignature(text, alice.sign(Buffer.from("abc")), alice.publicKey)).toBe(false);
    expect(verifySignature(text, alice.sign(Buffer.from(text)), alice.publicKey)).toBe(true);
  });

  it.each([
    { text: "", why: "empty" },
    { text: "0x", why: "a prefix alone" },
    { text: "g".repeat(128), why: "not hex" },
    { text: "a".repeat(126), why: "63 bytes" },
    { text: "a".repeat(127), why: "half a byte missing" },
    { text: "a".repeat(130), why: "65 bytes" },
    { text: `0x0x${"a".repeat(128)}`, why: "two prefixes" },
    { text: ` ${"a".repeat(128)}`, why: "a space" },
    { text: `${"a".repeat(128)}\n`, why: "a newline at the end" },
    { text: "а".repeat(128), why: "letters that only look like hex" },
  ])("refuses text that is $why", ({ text }) => {
    expect(parseSignature(text)).toBeUndefined();
  });
});

interface Vector {
  readonly hotkey: string;
  readonly nonce: string;
  readonly signature: string;
}

const readVectors = (url: URL): Vector[] =>
  readFileSync(url, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
const own = new URL("support/sr25519.jsonl", import.meta.url);
const shared = new URL("../../../shared/vectors/sr25519.jsonl", import.meta.url);

function check(vector: Vector): void {
  const key = parseHotkey(vector.hotkey);
  const digits = vector.signature.replace(/^0x/, "");
  if (key === undefined) throw new Error(`vector with hotkey ${vector.hotkey}`);
  for (const text of [digits, `0x${digits}`, digits.toUpperCase(), `0x${digits.toUpperCase()}`, `0X${digits}`]) {
    const bytes = parseSignature(text);
    if (bytes === undefined) throw new Error(`not parsed: ${text}`);
    expect(verifySignature(vector.hotkey + vector.nonce, bytes, key.publicKey)).toBe(true);
    expect(verifySignature(`${vector.hotkey + vector.nonce}x`, bytes, key.publicKey)).toBe(false);
  }
}

describe("signatures made by schnorrkel in Rust, raw and wrapped", () => {
  it.each(readVectors(own))("verify: $nonce", check);
});

describe.skipIf(!existsSync(shared))("shared/vectors/sr25519.jsonl (skipped where it is absent)", () => {
  it.each(existsSync(shared) ? readVectors(shared) : [])("verify: $nonce", check);
});
