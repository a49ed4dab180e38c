/** What the archive tests share: a scratch folder, a reader that collects, and how an error looks on the wire. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { readAll } from "../../src/archive/drain.ts";
import { readArchive } from "../../src/archive/read-archive.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { AppError } from "../../src/kernel/errors.ts";

/** A folder for one test file, removed after it. */
export function scratchFolder(): { readonly path: (name?: string) => string } {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "proctor-test-archive-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return { path: (name = "") => join(folder, name) };
}

let serial = 0;

/** Reads `bytes` as an archive. @returns its files' texts by path */
export async function filesOf(bytes: Buffer, folder: string, timeoutMs = 20_000): Promise<Record<string, string>> {
  const path = join(folder, `archive-${serial++}`);
  writeFileSync(path, bytes);
  const files: Record<string, string> = {};
  await readArchive(
    path,
    async (file) => {
      files[file.path] = (await readAll(file.content, 1024 ** 3))?.toString("utf8") ?? "(too long)";
    },
    { clock: systemClock, timeoutMs },
  );
  return files;
}

/** Code and reason of what `work` throws; fails where it doesn't throw an AppError. */
export async function refusalOf(work: Promise<unknown>): Promise<{ code: string; reason: string; message: string }> {
  try {
    const value = await work;
    throw new Error(`was accepted: ${JSON.stringify(value)?.slice(0, 200)}`);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { code: error.code, reason: String(error.details.reason ?? ""), message: error.message };
  }
}

export async function namesIn(folder: string): Promise<string[]> {
  return await readdir(folder).catch(() => []);
}

/** Shortest of three runs, ms: what the work takes, not what else the machine does meanwhile. */
export function fastestMs(work: () => unknown): number {
  const times = Array.from({ length: 3 }, () => {
    const started = performance.now();
    try {
      work();
    } catch {
      // what it throws is checked elsewhere
    }
    return performance.now() - started;
  });
  return Math.min(...times);
}
