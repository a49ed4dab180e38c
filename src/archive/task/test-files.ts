/** Where the files under a task's `tests/` go: judging scripts, and files with a place in the repository. */
import { limits } from "../../kernel/limits.ts";
import { relativePlace } from "../entry-path.ts";
import { shown } from "../refusal.ts";
import type { TestFile } from "../submission.ts";
import type { ListedFile } from "./workspace.ts";

/** A file under `tests/` as it came out of the archive. */
export interface TestEntry {
  /** below `tests/` */
  readonly path: string;
  readonly bytes: Buffer;
  readonly executable: boolean;
}

export interface SortedTests {
  /** `tests/*.sh` that `meta.test_files` doesn't list */
  readonly scripts: readonly TestEntry[];
  readonly files: readonly TestFile[];
}

/** @returns scripts and placed files, or why a place is refused */
export function sortTests(
  entries: readonly TestEntry[],
  listed: readonly ListedFile[],
): SortedTests | { readonly problem: string } {
  const places = new Map<string, TestFile>();
  for (const file of listed) {
    const path = safePlace(file.path);
    if (path === undefined)
      return { problem: `meta.test_files names ${shown(file.path)}, which is no place in the repository` };
    if (places.has(path)) return { problem: `meta.test_files names ${shown(file.path)} twice` };
    places.set(path, placed(path, Buffer.from(file.content, "utf8"), false));
  }
  const byEnding = endings([...places.keys()]);
  const scripts: TestEntry[] = [];
  for (const entry of entries) {
    const known = listedPlaces(entry, places, byEnding);
    if (known.length === 0 && !entry.path.includes("/") && entry.path.endsWith(".sh")) {
      scripts.push(entry);
      continue;
    }
    // One listed place: the file goes there. Several of that name: each has its own content in the list already.
    const target = known.length === 0 ? safePlace(`tests/${entry.path}`) : known.length === 1 ? known[0] : undefined;
    if (known.length === 0 && target === undefined) {
      return { problem: `tests/${entry.path.slice(0, 80)} is no place in the repository` };
    }
    if (target !== undefined) places.set(target, placed(target, entry.bytes, entry.executable));
  }
  if (places.size > limits.testFilesMax) return { problem: `has more than ${limits.testFilesMax} test files` };
  const files = [...places.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  const clash = files.find((file) => ancestors(file.path).some((folder) => places.has(folder)));
  if (clash !== undefined) return { problem: `test file ${shown(clash.path)} lies below another test file` };
  return { scripts, files };
}

/** Listed paths by each of their endings, so that a flat `tests/` folder is matched without a search per file. */
function endings(paths: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const path of paths) {
    const segments = path.split("/");
    for (let from = 0; from < segments.length; from++) {
      const ending = segments.slice(from).join("/");
      const list = found.get(ending);
      if (list === undefined) found.set(ending, [path]);
      else list.push(path);
    }
  }
  return found;
}

/** Its exact place where the list has it, else every listed path that ends like it. */
function listedPlaces(
  entry: TestEntry,
  places: ReadonlyMap<string, TestFile>,
  byEnding: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  if (places.has(`tests/${entry.path}`)) return [`tests/${entry.path}`];
  if (places.has(entry.path)) return [entry.path];
  return byEnding.get(entry.path) ?? [];
}

function safePlace(path: string): string | undefined {
  const place = relativePlace(path);
  if (place === undefined || place === ".") return undefined;
  return place.split("/").some((segment) => segment.toLowerCase() === ".git") ? undefined : place;
}

function ancestors(path: string): string[] {
  const segments = path.split("/");
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join("/"));
}

function placed(path: string, bytes: Buffer, executable: boolean): TestFile {
  const utf8 = bytes.toString("utf8");
  const isText = Buffer.from(utf8, "utf8").equals(bytes);
  return {
    path,
    content: isText ? utf8 : bytes.toString("base64"),
    encoding: isText ? "utf8" : "base64",
    executable: executable || (isText && utf8.startsWith("#!")),
  };
}
