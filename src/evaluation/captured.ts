/** Texts put together and cut to their limit; the cut itself is the sandbox room's, so that all cuts look alike. */
import type { CapturedText } from "../kernel/outcome.ts";
import { completeLength, joinCapture, splitCap } from "../sandbox/capture.ts";

/**
 * Cuts `bytes` to `bytesMax`, head and tail kept around a line that tells of the cut; invalid UTF-8 becomes U+FFFD.
 * @param totalBytes what there was in all, where it was more than is here: the text is then marked as cut
 */
export function capture(bytes: Buffer | string, bytesMax: number, totalBytes = 0): CapturedText {
  const buffer = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
  const total = Math.max(totalBytes, buffer.length);
  if (buffer.length <= bytesMax) {
    return {
      ...joinCapture(buffer, Buffer.alloc(0), buffer.length, bytesMax),
      totalBytes: total,
      truncated: total > buffer.length,
    };
  }
  const { headBytesMax, tailBytesMax } = splitCap(bytesMax);
  return joinCapture(buffer.subarray(0, headBytesMax), buffer.subarray(buffer.length - tailBytesMax), total, bytesMax);
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
  if (buffer.length <= bytesMax) return text;
  return buffer.subarray(0, completeLength(buffer.subarray(0, bytesMax))).toString("utf8");
}
