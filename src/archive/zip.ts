/**
 * Zip, through yauzl. The central directory is read first (its count was bounded by `readZipEnd`), every entry of it is
 * checked, and only then are the files streamed, in the order in which they lie in the file: each must begin exactly where
 * the one before it ended, so that nothing overlaps and nothing hides between them. yauzl checks sizes; names, modes,
 * CRC-32 and agreement with the local headers are checked here.
 */
import { isUtf8 } from "node:buffer";
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { crc32 } from "node:zlib";
import { type Entry, getFileNameLowLevel, openPromise, type ZipFile } from "yauzl";
import { UnpackBudget } from "./budget.ts";
import { drain } from "./drain.ts";
import { entrySegments } from "./entry-path.ts";
import { EntryTree } from "./entry-tree.ts";
import type { FileVisitor } from "./read-archive.ts";
import { refusal, shown } from "./refusal.ts";
import { fileTypeProblem } from "./unix-mode.ts";
import { readZipEnd, type ZipEnd } from "./zip-end.ts";

const FLAG = { utf8: 0x800, encrypted: 0x1, descriptor: 0x8, strong: 0x40, hidden: 0x2000 };
const DESCRIPTOR_BYTES = [12, 16, 20, 24];
const LOCAL_HEADER_BYTES = 30;

interface ZipItem {
  readonly entry: Entry;
  readonly path: string;
  readonly isFolder: boolean;
  readonly executable: boolean;
}

/** @throws AppError `extraction_failed`, yauzl's and the file system's errors, or the signal's reason */
export async function readZip(path: string, sizeBytes: number, visit: FileVisitor, signal: AbortSignal): Promise<void> {
  const end = await readEnd(path, sizeBytes);
  const zip = await openPromise(path, { autoClose: false, decodeStrings: false, validateEntrySizes: true });
  zip.on("error", ignoreLate);
  try {
    const items = await readDirectory(zip, end, new UnpackBudget(sizeBytes), signal);
    const budget = new UnpackBudget(sizeBytes);
    let position = 0;
    for (const [index, item] of items.entries()) {
      signal.throwIfAborted();
      const next = items[index + 1]?.entry.relativeOffsetOfLocalHeader ?? end.directoryStart;
      await readItem(zip, item, position, next, budget, visit, signal);
      position = next;
    }
  } finally {
    zip.close();
  }
}

async function readEnd(path: string, sizeBytes: number): Promise<ZipEnd> {
  await using file = await open(path, "r");
  return await readZipEnd(file, sizeBytes);
}

/** Every entry of the central directory, checked, in order of its place in the file. */
async function readDirectory(zip: ZipFile, end: ZipEnd, budget: UnpackBudget, signal: AbortSignal): Promise<ZipItem[]> {
  const tree = new EntryTree();
  const items: ZipItem[] = [];
  let directoryBytes = 0;
  if (zip.entryCount !== end.entryCount) throw refusal("the zip's end records contradict each other");
  for (let count = 0; count < end.entryCount; count++) {
    signal.throwIfAborted();
    const entry = await nextEntry(zip);
    directoryBytes += 46 + entry.fileNameLength + entry.extraFieldLength + entry.fileCommentLength;
    const item = checkedItem(entry);
    budget.take(entry.uncompressedSize);
    const segments = entrySegments(item.path);
    if (segments.length > 0) tree.add(segments, item.isFolder ? "folder" : "file");
    items.push({ ...item, path: segments.join("/") });
  }
  if (directoryBytes !== end.directoryBytes) throw refusal("the zip's central directory has another size than it says");
  return items.sort((a, b) => a.entry.relativeOffsetOfLocalHeader - b.entry.relativeOffsetOfLocalHeader);
}

function checkedItem(entry: Entry): ZipItem {
  const flags = entry.generalPurposeBitFlag;
  const path = nameOf(entry);
  const encrypted = FLAG.encrypted | FLAG.strong | FLAG.hidden;
  if ((flags & encrypted) !== 0) throw refusal(`entry ${shown(path)} is encrypted`);
  if (entry.compressionMethod !== 0 && entry.compressionMethod !== 8) {
    const method = entry.compressionMethod;
    throw refusal(`entry ${shown(path)} uses compression method ${method}; only 0 (stored) and 8 (deflate) are read`);
  }
  const mode = entry.externalFileAttributes >>> 16;
  const isFolder = path.endsWith("/") || (mode & 0o170000) === 0o040000;
  const problem = fileTypeProblem(mode, isFolder);
  if (problem !== undefined) throw refusal(`entry ${shown(path)} ${problem}`);
  if (isFolder && entry.uncompressedSize !== 0) throw refusal(`entry ${shown(path)} is a folder with content`);
  return { entry, path, isFolder, executable: (mode & 0o111) !== 0 };
}

/** Zip tools on Unix write UTF-8 without saying so (Info-ZIP in the C locale): bytes that are UTF-8 are read as that. */
function nameOf(entry: Entry): string {
  const isUnix = [3, 19].includes(entry.versionMadeBy >>> 8) && isUtf8(entry.fileNameRaw);
  const flags = entry.generalPurposeBitFlag | (isUnix ? FLAG.utf8 : 0);
  return getFileNameLowLevel(flags, entry.fileNameRaw, entry.extraFields, true);
}

async function readItem(
  zip: ZipFile,
  item: ZipItem,
  start: number,
  next: number,
  budget: UnpackBudget,
  visit: FileVisitor,
  signal: AbortSignal,
): Promise<void> {
  const { entry, path } = item;
  if (entry.relativeOffsetOfLocalHeader !== start) throw refusal("the zip has data before its first entry");
  const local = await zip.readLocalFileHeaderPromise(entry, { minimal: false });
  const agrees =
    local.fileName.equals(entry.fileNameRaw) &&
    local.compressionMethod === entry.compressionMethod &&
    local.generalPurposeBitFlag === entry.generalPurposeBitFlag &&
    ((entry.generalPurposeBitFlag & FLAG.descriptor) !== 0 ||
      (local.crc32 === entry.crc32 &&
        [entry.uncompressedSize, 0xffffffff].includes(local.uncompressedSize) &&
        [entry.compressedSize, 0xffffffff].includes(local.compressedSize)));
  if (!agrees) throw refusal(`entry ${shown(path)} has two headers that contradict each other`);
  const headerBytes = LOCAL_HEADER_BYTES + local.fileNameLength + local.extraFieldLength;
  const gap = next - (start + headerBytes + entry.compressedSize);
  const descriptor = (entry.generalPurposeBitFlag & FLAG.descriptor) !== 0;
  if (gap < 0) throw refusal(`entry ${shown(path)} overlaps the one after it`);
  if (descriptor ? !DESCRIPTOR_BYTES.includes(gap) : gap !== 0) {
    throw refusal(`entry ${shown(path)} is followed by data that belongs to no entry`);
  }
  if (item.isFolder || path === "") return;
  const stream = await zip.openReadStreamPromise(entry);
  stream.on("error", ignoreLate);
  const content = checkedContent(stream, entry, path, budget, signal);
  try {
    await visit({ path, executable: item.executable, sizeBytes: entry.uncompressedSize, content });
    await drain(content);
  } finally {
    stream.destroy();
  }
}

async function* checkedContent(
  stream: Readable,
  entry: Entry,
  path: string,
  budget: UnpackBudget,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const abort = () => stream.destroy(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  let crc = 0;
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      budget.take(chunk.length);
      if (bytes > entry.uncompressedSize) throw refusal(`entry ${shown(path)} is longer than it says`);
      crc = crc32(chunk, crc);
      yield chunk;
    }
  } catch (error) {
    signal.throwIfAborted();
    const message = error instanceof Error ? error.message : "";
    if (/bytes in the stream/.test(message)) throw refusal(`entry ${shown(path)} has another size than it says`, error);
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
  if (bytes !== entry.uncompressedSize) throw refusal(`entry ${shown(path)} has another size than it says`);
  if (crc !== entry.crc32) throw refusal(`entry ${shown(path)} is damaged: its checksum is wrong`);
}

/** The next entry; rejects with what yauzl emits instead of one. */
function nextEntry(zip: ZipFile): Promise<Entry> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      zip.removeListener("entry", onEntry).removeListener("end", onEnd).removeListener("error", onError);
      act();
    };
    const onEntry = (entry: Entry) => settle(() => resolve(entry));
    const onEnd = () => settle(() => reject(refusal("the zip has fewer entries than it says")));
    const onError = (error: unknown) => settle(() => reject(error));
    zip.on("entry", onEntry).on("end", onEnd).on("error", onError);
    zip.readEntry();
  });
}

/** yauzl and zlib can emit once more after a stream was given up; whoever reads it has had the first error. */
function ignoreLate(): void {}
