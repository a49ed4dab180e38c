/** Captured texts put together and cut to their limit, as CONTRACT.md words the cut. */
import type { CapturedText } from "../kernel/outcome.ts";

/**
 * Cuts `bytes` to `bytesMax`, head and tail kept around a line that tells of the cut; invalid UTF-8 becomes U+FFFD, and
 * no character is split.
 * @param totalBytes what was printed in all, where more was printed than is here
 */
export function capture(bytes: Buffer | string, bytesMax: number, totalBytes?: number): CapturedText {
  const buffer = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
  const total = Math.max(totalBytes ?? 0, buffer.length);
  if (buffer.length <= bytesMax) {
    return { text: buffer.toString("utf8"), totalBytes: total, truncated: total > buffer.length };
  }
  const half = Math.floor(bytesMax / 2);
  const head = buffer.subarray(0, characterStart(buffer, half)).toString("utf8");
  const tail = buffer.subarray(characterStart(buffer, buffer.length - half)).toString("utf8");
  return { text: `${head}\n${truncationLine(bytesMax, total)}\n${tail}`, totalBytes: total, truncated: true };
}

/** The line that stands where text was left out. */
export function truncationLine(bytesMax: number, totalBytes: number): string {
  return `... [truncated at ${bytesMax} bytes, total ${totalBytes}]`;
}

/** One text out of many, each under a header line, in all cut to `bytesMax`. */
export function concatenate(
  parts: readonly { readonly header: string; readonly text: CapturedText }[],
  bytesMax: number,
): CapturedText {
  const whole = parts
    .map(({ header, text }) => `${header}\n${text.text}${text.text === "" || text.text.endsWith("\n") ? "" : "\n"}`)
    .join("");
  const hiddenBytes = parts.reduce(
    (sum, { text }) => sum + Math.max(0, text.totalBytes - Buffer.byteLength(text.text)),
    0,
  );
  const joined = capture(whole, bytesMax, Buffer.byteLength(whole) + hiddenBytes);
  return { ...joined, truncated: joined.truncated || parts.some(({ text }) => text.truncated) };
}

/** The longest beginning of `text` that fits in `bytesMax` bytes of UTF-8 without splitting a character. */
export function cutText(text: string, bytesMax: number): string {
  const buffer = Buffer.from(text);
  return buffer.length <= bytesMax ? text : buffer.subarray(0, characterStart(buffer, bytesMax)).toString("utf8");
}

/** The last position ≤ `at` where a UTF-8 character begins. */
function characterStart(buffer: Buffer, at: number): number {
  let start = at;
  while (start > 0 && start > at - 4 && ((buffer[start] ?? 0) & 0xc0) === 0x80) start -= 1;
  return start;
}
