/**
 * Gzipped tar: zlib unpacks, `TarFrame` watches the frame, tar-stream parses, one entry at a time with back-pressure.
 * Every unpacked byte, headers included, is counted before the parser sees it.
 */
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { type Extract, extract, type Header } from "tar-stream";
import { UnpackBudget } from "./budget.ts";
import { drain } from "./drain.ts";
import { entrySegments } from "./entry-path.ts";
import { EntryTree } from "./entry-tree.ts";
import type { FileVisitor } from "./read-archive.ts";
import { refusal, shown } from "./refusal.ts";
import { TarFrame } from "./tar-frame.ts";
import { fileTypeProblem } from "./unix-mode.ts";

/** @throws AppError `extraction_failed`, errors of zlib, tar-stream and the file system, or the signal's reason */
export async function readTarGz(
  path: string,
  sizeBytes: number,
  visit: FileVisitor,
  signal: AbortSignal,
): Promise<void> {
  const tree = new EntryTree();
  const parser = extract();
  let fileCount = 0;
  let visiting: Promise<void> = Promise.resolve();
  parser.on("entry", (header, stream, next) => {
    stream.on("error", ignoreLate);
    const content = stream as AsyncIterable<Buffer>;
    visiting = readEntry(header, content, tree, visit).then(
      (isFile) => {
        fileCount += isFile ? 1 : 0;
        next();
      },
      (error: unknown) => void parser.destroy(error as Error),
    );
  });
  try {
    await feed(path, sizeBytes, parser, signal);
  } finally {
    parser.destroy();
    await visiting;
  }
  if (fileCount === 0) throw refusal("the archive has no files");
}

/** Unpacks the file into `parser` and waits until every entry was visited. */
async function feed(path: string, sizeBytes: number, parser: Extract, signal: AbortSignal): Promise<void> {
  const source = createReadStream(path, { signal });
  const gunzip = createGunzip();
  const budget = new UnpackBudget(sizeBytes);
  const frame = new TarFrame();
  let wake: () => void = ignoreLate;
  let failure: unknown;
  const ended = new Promise<void>((resolve) => {
    parser.on("drain", () => wake());
    parser.on("error", (error: unknown) => {
      failure ??= error;
    });
    parser.on("close", () => {
      wake();
      resolve();
    });
  });
  source.on("error", (error) => gunzip.destroy(error));
  const abort = () => parser.destroy(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  try {
    let readBytes = 0;
    for await (const chunk of source.pipe(gunzip) as AsyncIterable<Buffer>) {
      if (parser.destroyed) break;
      readBytes += chunk.length;
      budget.take(chunk.length);
      frame.see(chunk);
      if (!parser.write(chunk) && !parser.destroyed) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    if (!parser.destroyed) {
      frame.end();
      if (gunzip.bytesWritten !== sizeBytes) throw refusal("the archive has data after its gzip stream");
      if (readBytes === 0) throw refusal("the archive has no files");
      parser.end(undefined);
    }
    await ended;
    if (failure !== undefined) throw failure;
  } catch (error) {
    signal.throwIfAborted();
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "Z_BUF_ERROR") throw refusal("the gzip stream is cut off", error);
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
    source.destroy();
    gunzip.destroy();
    parser.destroy();
  }
}

/** @returns whether it was a file */
async function readEntry(
  header: Header,
  content: AsyncIterable<Buffer>,
  tree: EntryTree,
  visit: FileVisitor,
): Promise<boolean> {
  const name = shown(header.name);
  const pax = header.pax as Record<string, string> | null | undefined;
  for (const key of Object.keys(pax ?? {})) {
    if (key === "size" || key === "linkpath" || key.startsWith("GNU.sparse")) {
      throw refusal(`entry ${name} has a pax header that overrides its ${key === "size" ? "size" : "content"}`);
    }
  }
  const isFolder = header.type === "directory";
  if (!isFolder && header.type !== "file" && header.type !== "contiguous-file") {
    const kind = String(header.type ?? "of an unknown kind").replaceAll("-", " ");
    throw refusal(`entry ${name} is ${kind === "link" ? "a hard link" : kind}; only files and folders are allowed`);
  }
  const problem = fileTypeProblem(header.mode & 0o7777, isFolder);
  if (problem !== undefined) throw refusal(`entry ${name} ${problem}`);
  const segments = entrySegments(header.name);
  if (segments.length > 0) tree.add(segments, isFolder ? "folder" : "file");
  else if (!isFolder) throw refusal(`entry ${name} has no name`);
  if (!isFolder) {
    const executable = (header.mode & 0o111) !== 0;
    await visit({ path: segments.join("/"), executable, sizeBytes: header.size, content });
  }
  await drain(content);
  return !isFolder;
}

/** A stream that was given up can fail once more; whoever read it has had the first error. */
function ignoreLate(): void {}
