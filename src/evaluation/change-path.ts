/** Which paths of a harvested change set are believed. The bytes come out of a sandbox: hostile until checked here. */
import { limits } from "../kernel/limits.ts";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export type PathCheck =
  | { readonly kind: "path"; readonly path: string }
  /** `quiet`: below a `.git` folder, which every commit of the agent changes; not worth a note */
  | { readonly kind: "refused"; readonly why: string; readonly quiet?: boolean };

/**
 * Checks a path below /repo: relative, normalised, UTF-8, no NUL, nothing called `.git` on the way (git itself would
 * not take it, and its state is not part of the change).
 */
export function checkPath(bytes: Uint8Array): PathCheck {
  if (bytes.length === 0) return refused("is empty");
  if (bytes.length > limits.archivePathBytesMax) return refused(`is longer than ${limits.archivePathBytesMax} bytes`);
  const path = decodeUtf8(bytes);
  if (path === undefined) return refused("is not UTF-8");
  if (path.includes("\0")) return refused("holds a NUL");
  const parts = path.split("/");
  if (parts.some((part) => part === "" || part === "." || part === "..")) return refused("is not normalised");
  if (parts.some((part) => part.toLowerCase() === ".git")) {
    return { kind: "refused", why: "lies in a .git folder", quiet: parts[0] === ".git" };
  }
  return { kind: "path", path };
}

/** @returns the text, or undefined where the bytes are not valid UTF-8 */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Every folder above `path`, outermost first: `a/b/c` → `a`, `a/b`. */
export function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", at + 1)) parents.push(path.slice(0, at));
  return parents;
}

function refused(why: string): PathCheck {
  return { kind: "refused", why };
}
