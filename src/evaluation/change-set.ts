/**
 * What an agent changed, as read from the harvest program's records. Theory: the program runs inside the sandbox, after
 * the agent's processes are dead, and walks the workspace beside the untouched base. Its output is still hostile input:
 * every length is checked against what is there, every path by change-path.ts, and a record that breaks a rule is left
 * out with a note. What is kept is plain regular files and links, with no path below another path that is not a folder.
 *
 * The format is told in images/sandbox/supervisor/harvest.c: kind byte, u32 LE path length, path, u64 LE content length,
 * content. Kinds: F regular · X executable · L symbolic link (content: target) · D deleted · S skipped (content: why, in words) ·
 * E end (content: three u64 totals and a byte that says whether a limit was reached).
 */
import { checkPath, decodeUtf8, parentsOf } from "./change-path.ts";

export interface ChangedFile {
  readonly path: string;
  readonly kind: "file" | "executable" | "link";
  /** a link's target, a file's bytes; a view into the harvested buffer */
  readonly content: Buffer;
}

export interface ChangeSet {
  readonly files: readonly ChangedFile[];
  readonly deleted: readonly string[];
  /** what was left out and why, one sentence each */
  readonly notes: readonly string[];
}

export const emptyChangeSet: ChangeSet = { files: [], deleted: [], notes: [] };

export interface ChangeBounds {
  /** new and changed files and links */
  readonly filesMax: number;
  readonly deletedMax: number;
  /** contents of all files together */
  readonly bytesMax: number;
}

const LINK_TARGET_BYTES_MAX = 4_096;

/** @returns the change set; never throws, whatever the bytes are */
export function parseChangeSet(bytes: Buffer, bounds: ChangeBounds): ChangeSet {
  const reading = new Reading(bounds);
  let at = 0;
  while (at < bytes.length) {
    const record = readRecord(bytes, at);
    if (record === undefined)
      return reading.finish("The harvest broke off in the middle of a record; what came counts.");
    at = record.end;
    if (record.kind === "E") return reading.finish(endNote(record.content));
    reading.add(record);
  }
  return reading.finish("The harvest has no end record; what came counts.");
}

interface HarvestRecord {
  readonly kind: string;
  readonly path: Buffer;
  readonly content: Buffer;
  readonly end: number;
}

function readRecord(bytes: Buffer, start: number): HarvestRecord | undefined {
  const pathAt = start + 5;
  if (pathAt > bytes.length) return undefined;
  const sizeAt = pathAt + bytes.readUInt32LE(start + 1);
  const contentAt = sizeAt + 8;
  if (contentAt > bytes.length) return undefined;
  const size = bytes.readBigUInt64LE(sizeAt);
  if (size > BigInt(bytes.length - contentAt)) return undefined;
  const end = contentAt + Number(size);
  return {
    kind: String.fromCharCode(bytes[start] ?? 0),
    path: bytes.subarray(pathAt, sizeAt),
    content: bytes.subarray(contentAt, end),
    end,
  };
}

const fileKinds: Readonly<Record<string, ChangedFile["kind"]>> = { F: "file", X: "executable", L: "link" };

class Reading {
  readonly #bounds: ChangeBounds;
  readonly #files = new Map<string, ChangedFile>();
  readonly #deleted = new Set<string>();
  /** by reason: how many were left out, and the first of them */
  readonly #omissions = new Map<string, { count: number; readonly first: string }>();
  #bytes = 0;

  constructor(bounds: ChangeBounds) {
    this.#bounds = bounds;
  }

  /** Takes a record in, or notes why not. */
  add(record: HarvestRecord): void {
    const why = record.kind === "S" ? showReason(record.content) : this.#take(record);
    if (why !== undefined) this.#omit(showPath(record.path), why);
  }

  /** @returns why the record is left out; undefined where it was taken, or is not worth a note */
  #take(record: HarvestRecord): string | undefined {
    const checked = checkPath(record.path);
    if (checked.kind === "refused") return checked.quiet === true ? undefined : `its path ${checked.why}`;
    const { path } = checked;
    if (this.#files.has(path) || this.#deleted.has(path)) return "it came twice; the first of them counts";
    if (record.kind === "D") return this.#takeDeletion(path);
    const kind = fileKinds[record.kind];
    if (kind === undefined) return "it is of an unknown kind";
    if (kind === "link" && !isLinkTarget(record.content)) return "its link target is empty, too long or not UTF-8";
    if (this.#bytes + record.content.length > this.#bounds.bytesMax) {
      return `the change is larger than ${this.#bounds.bytesMax} bytes`;
    }
    this.#bytes += record.content.length;
    this.#files.set(path, { path, kind, content: record.content });
    return undefined;
  }

  #takeDeletion(path: string): string | undefined {
    if (this.#deleted.size >= this.#bounds.deletedMax) return `more than ${this.#bounds.deletedMax} files were deleted`;
    this.#deleted.add(path);
    return undefined;
  }

  #omit(first: string, why: string): void {
    const omission = this.#omissions.get(why);
    if (omission === undefined) this.#omissions.set(why, { count: 1, first });
    else omission.count += 1;
  }

  finish(note?: string): ChangeSet {
    const files: ChangedFile[] = [];
    for (const file of [...this.#files.values()].sort(shallowFirst)) {
      const hasPlace = parentsOf(file.path).every((parent) => !this.#files.has(parent));
      if (hasPlace && files.length < this.#bounds.filesMax) files.push(file);
      else {
        const why = hasPlace ? `more than ${this.#bounds.filesMax} files changed` : "what lies above is no folder";
        this.#omit(showPath(Buffer.from(file.path)), why);
      }
    }
    files.sort((a, b) => (a.path < b.path ? -1 : 1));
    const notes = [...this.#omissions].map(([why, { count, first }]) =>
      count === 1
        ? `Left out of the change: ${first}: ${why}.`
        : `Left out of the change: ${count} paths, first ${first}: ${why}.`,
    );
    if (note !== undefined) notes.push(note);
    return { files, deleted: [...this.#deleted].sort(), notes };
  }
}

/** Of too many files the same ones count each time, and a folder full of debris hides no change beside it. */
function shallowFirst(a: ChangedFile, b: ChangedFile): number {
  return a.path.split("/").length - b.path.split("/").length || (a.path < b.path ? -1 : 1);
}

function endNote(content: Buffer): string | undefined {
  if (content.at(24) !== 1) return undefined;
  return "The change reached a limit of the harvest (files or bytes); what lies beyond it does not count.";
}

function isLinkTarget(content: Buffer): boolean {
  if (content.length === 0 || content.length > LINK_TARGET_BYTES_MAX) return false;
  return decodeUtf8(content)?.includes("\0") === false;
}

/** A path as it may stand in a note: quoted, control characters escaped, short. */
function showPath(bytes: Uint8Array): string {
  return JSON.stringify(Buffer.from(bytes.subarray(0, 120)).toString("utf8"));
}

/** The program's own words, held to what a note may hold all the same. */
function showReason(content: Buffer): string {
  const words = content
    .subarray(0, 80)
    .toString("latin1")
    .replace(/[^ -~]/g, "");
  return words === "" ? "for a reason unknown" : words;
}
