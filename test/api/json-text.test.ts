/** Texts written piece by piece are the same JSON as texts written whole, wherever the reads happen to cut. */
import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { endOfString, jsonStringsOf, jsonTextPieces } from "../../src/api/json-text.ts";

const anyText = fc.string({
  unit: fc.oneof(fc.constantFrom("\\", '"', ",", "[", "]", "\0", "\u001b", "é", "😀"), fc.string()),
});

/** `bytes` in reads of `size`. */
function inReads(bytes: Buffer, size: number): Readable {
  const reads: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) reads.push(bytes.subarray(at, at + size));
  return Readable.from(reads);
}

describe("json text", () => {
  it("any bytes, cut anywhere, are a valid JSON string that says what the bytes say", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 60 }),
        anyText,
        fc.integer({ min: 1, max: 9 }),
        async (raw, text, size) => {
          const bytes = Buffer.concat([Buffer.from(text.toWellFormed()), raw]);
          const pieces = await Array.fromAsync(jsonTextPieces(inReads(bytes, size), 5));
          expect(JSON.parse(`"${pieces.join("")}"`)).toBe(bytes.toString("utf8"));
        },
      ),
    );
  });

  it("an array of strings comes apart into its strings, cut anywhere", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyText, { maxLength: 5 }), fc.integer({ min: 1, max: 9 }), async (texts, size) => {
        const found: string[] = [];
        let literal = "";
        for await (const piece of jsonStringsOf(inReads(Buffer.from(JSON.stringify(texts)), size))) {
          if (piece !== endOfString) literal += piece;
          else {
            found.push(JSON.parse(`"${literal}"`));
            literal = "";
          }
        }
        expect(found).toEqual(texts);
      }),
    );
  });
});
