/** A kept text as the inside of a JSON string, piece by piece. */
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

/**
 * Escapes UTF-8 bytes for a JSON string, without the quotes. Bytes that are no UTF-8 become U+FFFD; a character that lies
 * across two reads stays whole.
 * @param pieceBytes most bytes of source text in one piece; a piece is at most 6 times as long
 */
export async function* jsonTextPieces(source: Readable, pieceBytes: number): AsyncGenerator<string> {
  const decoder = new StringDecoder("utf8");
  for await (const bytes of source as AsyncIterable<Buffer>) {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      yield escapeText(decoder.write(bytes.subarray(at, at + pieceBytes)));
    }
  }
  yield escapeText(decoder.end());
}

function escapeText(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
