import { encodeAddress } from "@polkadot/util-crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hotkeyOf, parseHotkey } from "../../src/admission/ss58.ts";
import type { PublicKeyHex } from "../../src/kernel/ids.ts";

const aliceBytes = Buffer.from("d43593c715fdd31c61141abd04a99fd6822c8558854ccde39a5684e7a56da27d", "hex");
const aliceText = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

describe("hotkeys", () => {
  it("are 32 bytes in SS58 with prefix 42", () => {
    expect(parseHotkey(aliceText)).toEqual({ hotkey: aliceText, publicKey: aliceBytes.toString("hex") });
  });

  it.each([
    { text: "", why: "empty" },
    { text: `0x${aliceBytes.toString("hex")}`, why: "hex of the right key: the library would take it unchecked" },
    { text: aliceBytes.toString("hex"), why: "bare hex" },
    { text: encodeAddress(aliceBytes, 0), why: "the same key with prefix 0" },
    { text: encodeAddress(aliceBytes, 2), why: "the same key with prefix 2" },
    { text: encodeAddress(aliceBytes, 1284), why: "the same key with a two-byte prefix" },
    { text: encodeAddress(aliceBytes.subarray(0, 8), 42), why: "8 bytes" },
    { text: encodeAddress(Buffer.concat([aliceBytes, Buffer.from([1])]), 42), why: "33 bytes" },
    { text: `${aliceText.slice(0, -1)}Z`, why: "wrong checksum" },
    { text: aliceText.replace("F", "f"), why: "one digit's case changed" },
    { text: `${aliceText} `, why: "trailing space" },
    { text: `\n${aliceText}`, why: "leading newline" },
    { text: aliceText.replace("G", "0"), why: "0 is no base58 digit" },
    { text: aliceText.slice(0, 40), why: "cut" },
    { text: aliceText + aliceText, why: "twice as long" },
    { text: "5".repeat(48), why: "right shape, nonsense" },
  ])("refuses $why", ({ text }) => {
    expect(parseHotkey(text)).toBeUndefined();
  });

  it("round-trip for every key, and no other text stands for it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.nat(48), fc.nat(57), (bytes, at, digit) => {
        const publicKey = Buffer.from(bytes).toString("hex") as PublicKeyHex;
        const text = hotkeyOf(publicKey);
        expect(parseHotkey(text)?.publicKey).toBe(publicKey);
        const alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        const other = text.slice(0, at) + (alphabet[digit] ?? "1") + text.slice(at + 1);
        if (other !== text) expect(parseHotkey(other)?.publicKey).not.toBe(publicKey);
      }),
      { numRuns: 300 },
    );
  });
});
