/** Names of archive entries: hostile text in, segments that are safe to compare and to place, or a refusal. */
import { limits } from "../kernel/limits.ts";
import { refusal, shown } from "./refusal.ts";

/** C0, DEL, C1, line separators and the bidirectional overrides that make one name look like another. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

/**
 * @param name as the archive spells it; a leading `./`, doubled slashes and a trailing slash mean nothing
 * @returns its segments; empty for the archive's own root (`.` or `./`)
 * @throws AppError `extraction_failed` naming the entry
 */
export function entrySegments(name: string): readonly string[] {
  const problem = nameProblem(name);
  if (problem !== undefined) throw refusal(`entry ${shown(name)} ${problem}`);
  const segments = name.split("/").filter((segment) => segment !== "" && segment !== ".");
  if (segments.length > limits.archiveDepthMax) {
    throw refusal(
      `entry ${shown(name)} is ${segments.length} levels deep; at most ${limits.archiveDepthMax} are allowed`,
    );
  }
  for (const segment of segments) {
    if (segment === "..") throw refusal(`entry ${shown(name)} climbs out of the archive`);
    if (Buffer.byteLength(segment) > limits.archiveNameBytesMax) {
      throw refusal(`entry ${shown(name)} has a name above ${limits.archiveNameBytesMax} bytes`);
    }
  }
  return segments;
}

function nameProblem(name: string): string | undefined {
  if (name === "") return "has no name";
  const bytes = Buffer.byteLength(name);
  if (bytes > limits.archivePathBytesMax) {
    return `has a path of ${bytes} bytes; at most ${limits.archivePathBytesMax} are allowed`;
  }
  if (CONTROL.test(name)) return "has a control character in its name";
  if (name.includes("\ufffd") || !name.isWellFormed()) return "has a name that is not valid UTF-8";
  if (name.includes("\\")) return "has a backslash in its name; use forward slashes";
  if (name.startsWith("/") || /^[A-Za-z]:/.test(name)) return "has an absolute path";
  return undefined;
}

/**
 * A relative place below /repo, from text of a task.
 * @returns the normalised path, `.` for the root itself; undefined where it is absolute, climbs, or is no path
 */
export function relativePlace(text: string): string | undefined {
  if (nameProblem(text) !== undefined) return undefined;
  const segments = text.split("/").filter((segment) => segment !== "" && segment !== ".");
  if (segments.length > limits.archiveDepthMax || segments.includes("..")) return undefined;
  if (segments.some((segment) => Buffer.byteLength(segment) > limits.archiveNameBytesMax)) return undefined;
  return segments.length === 0 ? "." : segments.join("/");
}
