/**
 * Kept bytes as files, named by their SHA-256: `DATA_DIR/blobs/ab/abcd…`. A file appears under its name only when it is
 * whole and synced: it is written under a temporary name on the same disk, synced, renamed, and its folder is synced.
 */
import { createHash, randomUUID } from "node:crypto";
import { constants, createReadStream } from "node:fs";
import { copyFile, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Readable } from "node:stream";
import { AppError } from "../kernel/errors.ts";
import { parseDigest } from "../kernel/ids.ts";
import { codeOf, translate } from "./errors.ts";
import type { BlobStore } from "./port.ts";

/** What `get` reads into memory at most: a submission of the largest allowed tasks stays below it. */
const GET_BYTES_MAX = 512 * 1024 ** 2;

/** Makes the folders and removes what an interrupted write left. Owned by one process (data-lock.ts). */
export async function openBlobs(dataDir: string, getBytesMax: number = GET_BYTES_MAX): Promise<BlobStore> {
  const root = resolve(dataDir, "blobs");
  const drafts = join(root, "tmp");
  await mkdir(drafts, { recursive: true, mode: 0o700 });
  for (const left of await readdir(drafts)) await rm(join(drafts, left), { force: true });

  const pathOf = (digest: string): string => {
    const parsed = parseDigest(digest);
    if (parsed === undefined) throw new Error("a blob's digest must be 64 lower-case hex digits");
    return join(root, parsed.slice(0, 2), parsed);
  };

  const exists = async (digest: string): Promise<boolean> => {
    try {
      return (await stat(pathOf(digest))).isFile();
    } catch (error) {
      if (codeOf(error) === "ENOENT") return false;
      throw error;
    }
  };

  /** Gives a finished, synced draft its name. */
  const settle = async (draft: string, digest: string): Promise<void> => {
    const target = pathOf(digest);
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    await rename(draft, target);
    await syncPath(dirname(target));
  };

  const put = async (bytes: Buffer | string): Promise<string> => {
    const content = typeof bytes === "string" ? Buffer.from(bytes, "utf8") : bytes;
    const digest = createHash("sha256").update(content).digest("hex");
    if (await exists(digest)) return digest;
    const draft = join(drafts, randomUUID());
    try {
      const file = await open(draft, "wx", 0o600);
      try {
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
      await settle(draft, digest);
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
    return digest;
  };

  const adopt = async (path: string, digest: string): Promise<void> => {
    if (await exists(digest)) return rm(path, { force: true });
    await syncPath(path);
    try {
      await settle(path, digest);
    } catch (error) {
      if (codeOf(error) !== "EXDEV") throw error;
      const draft = join(drafts, randomUUID());
      try {
        await copyFile(path, draft, constants.COPYFILE_EXCL);
        await syncPath(draft);
        await settle(draft, digest);
      } catch (failure) {
        await rm(draft, { force: true });
        throw failure;
      }
      await rm(path, { force: true });
    }
  };

  const get = async (digest: string): Promise<Buffer | undefined> => {
    let file: Awaited<ReturnType<typeof open>>;
    try {
      file = await open(pathOf(digest), "r");
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
    try {
      const { size } = await file.stat();
      if (size > getBytesMax) {
        throw new Error(`blob ${digest} has ${size} bytes, above the ${getBytesMax} that are read at once; stream it`);
      }
      return await file.readFile();
    } finally {
      await file.close();
    }
  };

  const stream = async (digest: string): Promise<Readable> => {
    if (!(await exists(digest))) throw new AppError("not_found", `no kept file has the digest ${digest}`);
    return createReadStream(pathOf(digest));
  };

  return {
    put: (bytes) => translated(put(bytes)),
    adopt: (path, digest) => translated(adopt(path, digest)),
    get: (digest) => translated(get(digest)),
    stream: (digest) => translated(stream(digest)),
    path: pathOf,
    has: (digest) => translated(exists(digest)),
    remove: async (digest) => translated(rm(pathOf(digest), { force: true })),
  };
}

async function translated<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw translate(error);
  }
}

/** fsync of a file or folder by path. */
async function syncPath(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
