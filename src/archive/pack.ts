/**
 * Packing a folder of ours for `proctor pack`: equal folders give equal bytes and so equal digests (sorted names, one
 * time, modes 644 and 755), and what the server would refuse is refused here, because the server's own reader reads it.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import AdmZip from "adm-zip";
import { create } from "tar";
import type { Clock } from "../kernel/clock.ts";
import { systemClock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { Digest } from "../kernel/ids.ts";
import { limits } from "../kernel/limits.ts";
import { entrySegments } from "./entry-path.ts";
import { readSubmission } from "./read-submission.ts";
import { shown } from "./refusal.ts";
import type { Submission } from "./submission.ts";
import type { RepoRules } from "./task/repo-url.ts";

/** Never part of an archive. */
const SKIPPED = new Set([".git", "__pycache__", ".DS_Store", ".pytest_cache"]);

interface SourceFile {
  /** relative to the folder, `/` between segments */
  readonly path: string;
  readonly executable: boolean;
}

export interface PackOptions {
  readonly format: "zip" | "tar.gz";
  /** the server's REPO_URL_TEMPLATE and REPO_HOSTS where they are known */
  readonly rules?: RepoRules;
  readonly clock?: Clock;
}

export interface PackedArchive {
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** what the server will read from it */
  readonly submission: Submission;
}

/**
 * Packs `tasks/` and `agent_code/` of `folder` into the file `target` and reads it back as the server will.
 * @throws AppError `invalid_request` for what can't be packed, `extraction_failed` for what the server would refuse;
 * `target` is removed then
 */
export async function packArchive(folder: string, target: string, options: PackOptions): Promise<PackedArchive> {
  if (options.format === "zip") await packZip(folder, target);
  else await packTarGz(folder, target);
  const scratch = await mkdtemp(join(tmpdir(), "proctor-pack-"));
  try {
    const digest = await digestOf(target);
    const rules = options.rules ?? { template: "https://github.com/{owner}/{name}.git", hosts: ["github.com"] };
    const clock = options.clock ?? systemClock;
    await using read = await readSubmission({ path: target, digest }, { rules, folder: scratch, clock });
    return { path: target, digest, sizeBytes: (await stat(target)).size, submission: read.submission };
  } catch (error) {
    await rm(target, { force: true });
    throw error;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Zip through adm-zip, which holds it in memory: the folder is ours. @throws AppError `invalid_request` */
export async function packZip(folder: string, target: string): Promise<void> {
  const zip = new AdmZip(undefined, { noSort: true });
  for (const file of await filesOf(folder)) {
    const entry = zip.addFile(file.path, await readFile(join(folder, file.path)), "", file.executable ? 0o755 : 0o644);
    entry.header.time = new Date(1980, 0, 1);
  }
  await writeFile(target, zip.toBuffer());
}

/** Gzipped tar through node-tar. @throws AppError `invalid_request` */
export async function packTarGz(folder: string, target: string): Promise<void> {
  const files = await filesOf(folder);
  const executable = new Map(files.map((file) => [file.path, file.executable]));
  const options = {
    cwd: folder,
    file: target,
    gzip: true,
    portable: true,
    strict: true,
    mtime: new Date(0),
    filter: (path: string, stats: { mode?: number }) => {
      stats.mode = 0o100000 | (executable.get(path.replace(/^\.\//, "")) ? 0o755 : 0o644);
      return true;
    },
  };
  // A name that begins with @ would be read as an archive to take in; behind ./ it is a name.
  await create(
    options,
    files.map((file) => `./${file.path}`),
  );
}

async function filesOf(folder: string): Promise<SourceFile[]> {
  const top = await readdir(folder).catch((cause: unknown) => {
    throw new AppError("invalid_request", `folder ${shown(folder)} can't be read`, { cause });
  });
  const files: SourceFile[] = [];
  for (const name of top.filter((entry) => entry === "tasks" || /^agent_code(\.|$)/.test(entry))) {
    await walk(folder, name, files, 1);
  }
  if (files.length === 0) {
    throw new AppError("invalid_request", `folder ${shown(folder)} holds neither tasks/ nor agent_code/`);
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function walk(folder: string, path: string, files: SourceFile[], depth: number): Promise<void> {
  const refuse = (why: string) => new AppError("invalid_request", `${shown(path)} ${why}`);
  if (depth > limits.archiveDepthMax) throw refuse(`is deeper than ${limits.archiveDepthMax} levels`);
  const stats = await lstat(join(folder, path));
  if (stats.isSymbolicLink()) throw refuse("is a symbolic link; put the file itself in its place");
  if (stats.isDirectory()) {
    for (const name of await readdir(join(folder, path))) {
      if (!SKIPPED.has(name)) await walk(folder, `${path}/${name}`, files, depth + 1);
    }
    return;
  }
  if (!stats.isFile()) throw refuse("is neither a file nor a folder");
  entrySegments(path); // adm-zip would mend some names silently
  files.push({ path, executable: (stats.mode & 0o111) !== 0 });
  if (files.length > limits.archiveEntriesMax)
    throw refuse(`is one file too many: at most ${limits.archiveEntriesMax} fit`);
}

async function digestOf(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  return hash.digest("hex") as Digest;
}
