/** How this room says no: one code for an unreadable or unsafe archive, with a reason that names the entry safely. */
import { AppError } from "../kernel/errors.ts";

const SHOWN_CHARS_MAX = 80;
const REASON_CHARS_MAX = 500;

/** Everything but printable ASCII (and our ellipsis) escaped. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e…]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Text of an archive made safe to print: JSON-escaped, nothing but printable ASCII, at most 80 characters. */
export function shown(text: string): string {
  const points = [...text.slice(0, SHOWN_CHARS_MAX + 1)];
  const cut = points.slice(0, SHOWN_CHARS_MAX).join("");
  const escaped = printable(JSON.stringify(cut));
  return text.length > cut.length ? `${escaped.slice(0, -1)}…"` : escaped;
}

/**
 * @param reason what is wrong, naming the entry or task (through `shown`), the limit and the way out
 * @returns AppError `extraction_failed` with the contract's message and `details.reason`
 */
export function refusal(reason: string, cause?: unknown): AppError {
  return new AppError("extraction_failed", "Failed to extract archive. Ensure it is a valid zip or tar.gz.", {
    details: { reason: printable(reason).slice(0, REASON_CHARS_MAX) },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Foreign errors of the archive libraries, translated once; errors of ours and aborts pass through. */
export function asRefusal(error: unknown, what: string): unknown {
  if (error instanceof AppError) return error;
  const code = (error as NodeJS.ErrnoException | null)?.code;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new AppError(
      "disk_full",
      "No space left for reading the archive; free space under WORKSPACE_BASE and retry",
      {
        cause: error,
      },
    );
  }
  if (code !== undefined && /^(EIO|EMFILE|ENFILE|ENOENT|EACCES|EPERM|EROFS)$/.test(code)) {
    return new AppError("internal", `the received archive can't be read back (${code})`, { cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return refusal(`${what}: ${shown(message).slice(1, -1)}`, error);
}
