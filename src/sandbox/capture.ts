/**
 * Captured output: the first and the last bytes of what a command printed, as valid UTF-8 that never cuts a character.
 * The supervisor sends the head live and the tail at the end; nothing in between ever reaches the server.
 */
import type { CapturedText } from "../kernel/outcome.ts";
import type { OutputListener } from "./port.ts";

export type OutputStream = "stdout" | "stderr";

/** How `outputBytesMax` is shared between the beginning and the end. */
export function splitCap(outputBytesMax: number): { readonly headBytesMax: number; readonly tailBytesMax: number } {
  const headBytesMax = Math.ceil(outputBytesMax / 2);
  return { headBytesMax, tailBytesMax: outputBytesMax - headBytesMax };
}

/** Joins a head and a tail to the text of a result. `totalBytes` counts what was printed, kept or not. */
export function joinCapture(head: Buffer, tail: Buffer, totalBytes: number, maxBytes: number): CapturedText {
  if (totalBytes <= head.length + tail.length) {
    return { text: decode(Buffer.concat([head, tail])), totalBytes, truncated: false };
  }
  const start = decode(head.subarray(0, completeLength(head)));
  const end = decode(tail.subarray(continuationLength(tail)));
  const newline = start === "" || start.endsWith("\n") ? "" : "\n";
  const marker = `... [truncated at ${maxBytes} bytes, total ${totalBytes}]`;
  return { text: `${start}${newline}${marker}\n${end}`, totalBytes, truncated: true };
}

/** Invalid bytes become U+FFFD; a byte order mark is kept, it was printed. */
function decode(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

/** Bytes of `bytes` without a character that is cut off at its end. */
export function completeLength(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(4, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return bytes.length;
    if (byte >= 0xc0) {
      const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return needed > back ? bytes.length - back : bytes.length;
    }
  }
  return bytes.length;
}

/** Bytes at the beginning of `bytes` that continue a character whose first byte is not there: at most 3. */
function continuationLength(bytes: Uint8Array): number {
  let length = 0;
  while (length < 3 && length < bytes.length && ((bytes[length] ?? 0) & 0xc0) === 0x80) length++;
  return length;
}

/** Bytes in, whole characters out to a listener: one decoder a stream, since the two interleave. */
export class LiveText {
  readonly #listener: OutputListener | undefined;
  readonly #decoders = {
    stdout: new TextDecoder("utf-8", { ignoreBOM: true }),
    stderr: new TextDecoder("utf-8", { ignoreBOM: true }),
  };

  constructor(listener: OutputListener | undefined) {
    this.#listener = listener;
  }

  push(stream: OutputStream, bytes: Uint8Array): void {
    if (this.#listener === undefined) return;
    const text = this.#decoders[stream].decode(bytes, { stream: true });
    if (text !== "") this.#listener(stream, text);
  }

  /** Tells what is left of characters that never became whole. */
  end(): void {
    if (this.#listener === undefined) return;
    for (const stream of ["stdout", "stderr"] as const) {
      const text = this.#decoders[stream].decode();
      if (text !== "") this.#listener(stream, text);
    }
  }
}
