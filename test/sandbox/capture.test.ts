import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { completeLength, joinCapture, LiveText, splitCap } from "../../src/sandbox/capture.ts";

/** What the supervisor would send of `bytes` for a cap. */
function capture(bytes: Buffer, maxBytes: number) {
  const { headBytesMax, tailBytesMax } = splitCap(maxBytes);
  const head = bytes.subarray(0, headBytesMax);
  const tail = bytes.subarray(Math.max(headBytesMax, bytes.length - tailBytesMax));
  return joinCapture(head, tail, bytes.length, maxBytes);
}

describe("captured text", () => {
  it.each([
    { why: "nothing", text: "", max: 10, shown: "" },
    { why: "exactly the cap", text: "0123456789", max: 10, shown: "0123456789" },
    { why: "one above", text: "0123456789A", max: 10, shown: "01234\n... [truncated at 10 bytes, total 11]\n6789A" },
    {
      why: "an odd cap gives the head more",
      text: "0123456789",
      max: 3,
      shown: "01\n... [truncated at 3 bytes, total 10]\n9",
    },
    {
      why: "a line that ended stays one",
      text: "ab\ncdefgh",
      max: 6,
      shown: "ab\n... [truncated at 6 bytes, total 9]\nfgh",
    },
    { why: "a character across the cut of a whole text", text: "aé", max: 3, shown: "aé" },
    {
      why: "a character cut off at the head's end",
      text: "aaaé-bbbb",
      max: 8,
      shown: "aaa\n... [truncated at 8 bytes, total 10]\nbbbb",
    },
    {
      why: "a character cut off at the tail's start",
      text: "aaaa--é-b",
      max: 6,
      shown: "aaa\n... [truncated at 6 bytes, total 10]\n-b",
    },
  ])("$why", ({ text, max, shown }) => {
    const bytes = Buffer.from(text);
    expect(capture(bytes, max)).toEqual({ text: shown, totalBytes: bytes.length, truncated: bytes.length > max });
  });

  it("is valid UTF-8 with at most the cap's bytes of output, for any bytes and any cap", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 1, max: 200 }), (array, max) => {
        const bytes = Buffer.from(array);
        const { text, totalBytes, truncated } = capture(bytes, max);
        expect(text.isWellFormed()).toBe(true);
        expect(totalBytes).toBe(bytes.length);
        expect(truncated).toBe(bytes.length > max);
        if (!truncated) expect(text).toBe(bytes.toString("utf8"));
      }),
    );
  });

  it("never cuts a character that was whole", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), fc.integer({ min: 1, max: 100 }), (printed, max) => {
        fc.pre(printed.isWellFormed());
        expect(capture(Buffer.from(printed), max).text).not.toMatch(printed.includes("\ufffd") ? /$^/ : /\ufffd/);
      }),
    );
  });

  it.each([
    { bytes: [0x61], length: 1 },
    { bytes: [0xf0, 0x9f, 0x98, 0x80], length: 4 },
    { bytes: [0xf0, 0x9f, 0x98], length: 0 },
    { bytes: [0xe2, 0x82], length: 0 },
    { bytes: [0x80, 0x80, 0x80, 0x80, 0x80], length: 5 },
    { bytes: [0x61, 0xc3], length: 1 },
  ])("$bytes has $length complete bytes", ({ bytes, length }) => {
    expect(completeLength(Uint8Array.from(bytes))).toBe(length);
  });
});

describe("live text", () => {
  it("waits for a character to be whole, each stream by itself", () => {
    const told: string[] = [];
    const live = new LiveText((stream, text) => told.push(`${stream}:${text}`));
    const face = Buffer.from("😀");
    live.push("stdout", face.subarray(0, 2));
    live.push("stderr", Buffer.from("e"));
    live.push("stdout", face.subarray(2));
    live.push("stderr", face.subarray(0, 3));
    live.end();
    expect(told).toEqual(["stderr:e", "stdout:😀", "stderr:\ufffd"]);
  });
});
