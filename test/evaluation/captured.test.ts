import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { capture, concatenate, cutText } from "../../src/evaluation/captured.ts";

const textOf = (text: string) => ({ text, totalBytes: Buffer.byteLength(text), truncated: false });

describe("captured texts", () => {
  it.each([
    { bytes: "short", max: 10, text: "short", truncated: false, why: "fits" },
    { bytes: "0123456789", max: 10, text: "0123456789", truncated: false, why: "just fits" },
    {
      bytes: "0123456789A",
      max: 10,
      text: "01234\n... [truncated at 10 bytes, total 11]\n6789A",
      truncated: true,
      why: "one too many",
    },
    {
      bytes: "ééééééé",
      max: 6,
      text: "é\n... [truncated at 6 bytes, total 14]\né",
      truncated: true,
      why: "R06: no character is split",
    },
    { bytes: Buffer.from([0x61, 0xff, 0x62]), max: 10, text: "a�b", truncated: false, why: "R06: invalid UTF-8" },
  ])("$why", ({ bytes, max, text, truncated }) => {
    expect(capture(bytes, max)).toMatchObject({ text, truncated });
  });

  it("puts parts under their headers and stays within the limit", () => {
    const parts = [
      { header: "= a", text: textOf("one") },
      { header: "= b", text: textOf("") },
      { header: "= c", text: { text: "x", totalBytes: 100, truncated: true } },
    ];
    expect(concatenate(parts, 1_000)).toMatchObject({ text: "= a\none\n= b\n= c\nx\n", truncated: true });
    expect(Buffer.byteLength(concatenate([{ header: "=", text: textOf("y".repeat(5_000)) }], 1_000).text)).toBeLessThan(
      1_100,
    );
  });

  it("cuts at a character, never above the limit, and takes nothing that fits", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.nat(40), (text, max) => {
        const cut = cutText(text, max);
        expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(Math.max(max, 0));
        expect(text.startsWith(cut)).toBe(true);
        if (Buffer.byteLength(text) <= max) expect(cut).toBe(text);
        else expect(Buffer.byteLength(cut)).toBeGreaterThan(max - 4);
      }),
    );
  });
});
