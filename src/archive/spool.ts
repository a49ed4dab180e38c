/**
 * Spool files: what is being received or unpacked, in WORKSPACE_BASE, under names of ours alone
 * (`proctor-spool-<host>-<pid>-<random>`). Each is removed by whoever made it; what a killed process left is swept at start.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { AppError } from "../kernel/errors.ts";

const PREFIX = "proctor-spool";
const HOST = hostname()
  .replace(/[^A-Za-z0-9.]/g, "_")
  .slice(0, 64);
const NAME = /^proctor-spool-(.+)-(\d+)-[0-9a-f]{32}$/;
/** age at which a file is stale though its owner can't be asked (another host, or a pid that lives again) */
const ORPHAN_AGE_MS = 25 * 3_600_000;

export interface SpoolFile extends AsyncDisposable {
  readonly path: string;
  readonly handle: FileHandle;
  /** Writes all of `chunk` behind what is there. @throws AppError `disk_full` */
  write(chunk: Uint8Array): Promise<void>;
  /** Closes the handle and leaves the file; disposing still removes it. */
  close(): Promise<void>;
}

/** Opens a spool file's handle: `open` of node:fs, or what a test puts in its place. */
export type OpenFile = (path: string, flags: string, mode: number) => Promise<FileHandle>;

/** Makes an empty spool file, readable by this user alone. Disposing closes and removes it; an adopted one is gone already. */
export async function openSpool(folder: string, openFile: OpenFile = open): Promise<SpoolFile> {
  const path = join(folder, `${PREFIX}-${HOST}-${process.pid}-${randomBytes(16).toString("hex")}`);
  const handle = await guarded(async () => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return await openFile(path, "wx+", 0o600);
  });
  let isOpen = true;
  const close = async () => {
    if (!isOpen) return;
    isOpen = false;
    await guarded(() => handle.close());
  };
  return {
    path,
    handle,
    write: (chunk) => guarded(() => writeAll(handle, chunk)),
    close,
    async [Symbol.asyncDispose]() {
      await close().catch(() => undefined);
      await rm(path, { force: true });
    },
  };
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  let at = 0;
  while (at < chunk.length) at += (await handle.write(chunk, at, chunk.length - at)).bytesWritten;
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "";
    if (/^(ENOSPC|EDQUOT)$/.test(code)) {
      const message =
        "No space left to receive the archive; retry when the operator has freed space under WORKSPACE_BASE";
      throw new AppError("disk_full", message, { cause });
    }
    throw new AppError("internal", `the folder of uploads (WORKSPACE_BASE) can't be written (${code})`, { cause });
  }
}

/**
 * Removes spool files of processes that are gone. Call once at start, before anything is received.
 * @returns how many were removed
 */
export async function sweepSpool(folder: string): Promise<number> {
  let removed = 0;
  for (const name of await readdir(folder).catch(() => [])) {
    const [, host, pid] = NAME.exec(name) ?? [];
    if (host === undefined || pid === undefined) continue;
    const path = join(folder, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
    const isDead = host === HOST && !isOther(Number(pid));
    if (!isDead && Date.now() - mtimeMs < ORPHAN_AGE_MS) continue;
    await rm(path, { force: true });
    removed++;
  }
  return removed;
}

/** Whether `pid` is a living process that is not this one: in a container a restarted server has its old pid again. */
function isOther(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
