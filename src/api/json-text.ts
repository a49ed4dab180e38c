/** Kept texts as the insides of JSON strings, piece by piece: however long a text is, one piece of it is held. */
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

/**
 * Takes the JSON text of an array of strings apart while it is read: yields pieces of the first string, escaped as they
 * are and without quotes, then `endOfString`, then pieces of the second, and so on.
 * @param source what JSON.stringify made of a string[], as UTF-8
 */
export async function* jsonStringsOf(source: Readable): AsyncGenerator<string | typeof endOfString> {
  const decoder = new StringDecoder("utf8");
  const place: Place = { isInside: false, isEscaped: false };
  for await (const bytes of source as AsyncIterable<Buffer>) yield* split(decoder.write(bytes), place);
  yield* split(decoder.end(), place);
}

export const endOfString = Symbol("end of string");

/** Where one read ended and the next goes on. */
interface Place {
  isInside: boolean;
  /** the last character read was a backslash that still waits for its partner */
  isEscaped: boolean;
}

function* split(text: string, place: Place): Generator<string | typeof endOfString> {
  let at = 0;
  while (at < text.length) {
    if (!place.isInside) {
      const quote = text.indexOf('"', at);
      if (quote === -1) return;
      place.isInside = true;
      at = quote + 1;
      continue;
    }
    const end = endOfLiteral(text, at, place);
    if (end > at) yield text.slice(at, end);
    if (end === text.length) return;
    yield endOfString;
    place.isInside = false;
    at = end + 1;
  }
}

/** @returns where the quote stands that ends the string, or the end of `text` */
function endOfLiteral(text: string, from: number, place: Place): number {
  for (let at = from; at < text.length; at++) {
    if (place.isEscaped) place.isEscaped = false;
    else if (text[at] === "\\") place.isEscaped = true;
    else if (text[at] === '"') return at;
  }
  return text.length;
}
