/**
 * Bounded reading of an untrusted archive file.
 *
 * Nothing of the archive is written to the host under a name from it: each regular file is handed to a visitor as a name
 * that was checked and a stream that is counted. An archive is refused as a whole at the first thing that is unsafe or
 * that two readers could understand differently (links, devices, twins, lies about sizes, data between or after the
 * entries); what the visitor has seen until then must be thrown away. Zip or gzipped tar is told apart by content.
 */
import { open } from "node:fs/promises";
import type { Clock } from "../kernel/clock.ts";
import { limits } from "../kernel/limits.ts";
import { within } from "./deadline.ts";
import { asRefusal, refusal } from "./refusal.ts";
import { readTarGz } from "./targz.ts";
import { readZip } from "./zip.ts";

/** A regular file of an archive, valid while its visitor runs. */
export interface ArchiveFile {
  /** segments of its checked path, joined by `/`; relative, never climbing */
  readonly path: string;
  readonly executable: boolean;
  /** as declared; the stream rejects when it is a lie */
  readonly sizeBytes: number;
  /** read it wholly or not at all, or throw; what was not touched is read and checked by the reader */
  readonly content: AsyncIterable<Buffer>;
}

export type FileVisitor = (file: ArchiveFile) => Promise<void>;

export interface ReadOptions {
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  /** default: limits.archiveReadMsMax */
  readonly timeoutMs?: number;
}

/**
 * Reads the archive at `path` once, front to back, calling `visit` for every regular file in turn.
 * @throws AppError `extraction_failed` with `details.reason`; the signal's reason after an abort; what `visit` throws
 */
export async function readArchive(path: string, visit: FileVisitor, options: ReadOptions): Promise<void> {
  const limitMs = options.timeoutMs ?? limits.archiveReadMsMax;
  const late = () => refusal(`the archive took more than ${limitMs / 1_000} s to read`);
  const guard = guarded(visit);
  await within(options.clock, limitMs, options.signal, late, async (signal) => {
    try {
      const { kind, sizeBytes } = await sniff(path);
      if (kind === "zip") await readZip(path, sizeBytes, guard.visit, signal);
      else await readTarGz(path, sizeBytes, guard.visit, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (guard.isVisitorFault(error)) throw error;
      throw asRefusal(error, "the archive is damaged");
    }
  });
}

/** Tells what the visitor itself threw from what reading the archive threw through it. */
function guarded(visit: FileVisitor): { visit: FileVisitor; isVisitorFault(error: unknown): boolean } {
  let ofContent: unknown;
  let ofVisitor: unknown;
  async function* watched(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    try {
      yield* content;
    } catch (error) {
      ofContent = error;
      throw error;
    }
  }
  return {
    isVisitorFault: (error) => error === ofVisitor && error !== ofContent,
    visit: async (file) => {
      try {
        await visit({ ...file, content: watched(file.content) });
      } catch (error) {
        ofVisitor = error;
        throw error;
      }
    },
  };
}

async function sniff(path: string): Promise<{ kind: "zip" | "targz"; sizeBytes: number }> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const head = Buffer.alloc(4);
  const { bytesRead } = await file.read(head, 0, 4, 0);
  if (size === 0 || bytesRead < 4) throw refusal("the archive is empty or cut off");
  if (head[0] === 0x1f && head[1] === 0x8b) return { kind: "targz", sizeBytes: size };
  const signature = head.readUInt32LE(0);
  if (signature === 0x04034b50) return { kind: "zip", sizeBytes: size };
  if (signature === 0x06054b50) throw refusal("the archive has no entries");
  throw refusal("the file is neither a zip nor a gzipped tar");
}
