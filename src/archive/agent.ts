/**
 * The agent: which file starts it, and its files as one normalised tar, equal for equal files whatever archive they came
 * in (sorted by path, no times, no owners, modes 644 and 755), so that its digest names the agent.
 *
 * The entry is `agent.*`, else `main.*`, else the only program among the top-level files. Of several, Python wins (that is
 * what the network runs today); any other tie is refused with both named. Where the top level holds no program and just
 * one folder, that folder is the agent's.
 */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { type Pack, pack } from "tar-stream";
import type { Digest } from "../kernel/ids.ts";
import type { AgentFile } from "./collect.ts";
import { refusal, shown } from "./refusal.ts";
import { openSpool, type SpoolFile } from "./spool.ts";
import type { AgentLanguage, AgentSpec } from "./submission.ts";

const LANGUAGES: Readonly<Record<string, AgentLanguage>> = {
  py: "python",
  js: "javascript",
  mjs: "javascript",
  cjs: "javascript",
  ts: "typescript",
  mts: "typescript",
  cts: "typescript",
  go: "go",
  rb: "ruby",
  sh: "shell",
  bash: "shell",
};
const SUPPORTED = Object.keys(LANGUAGES)
  .map((extension) => `.${extension}`)
  .join(", ");

/** @throws AppError `extraction_failed` where no file, or more than one, could start the agent */
export function agentEntry(files: readonly { readonly path: string }[]): { entry: string; language: AgentLanguage } {
  const home = homeOf(files);
  const programs = files
    .map(({ path }) => {
      const name = path.startsWith(home) ? path.slice(home.length) : "/";
      return { entry: path, language: languageOf(name), stem: name.replace(/\.[^.]*$/, "") };
    })
    .filter((file): file is typeof file & { language: AgentLanguage } => file.language !== undefined);
  const named = ["agent", "main"].map((stem) => programs.filter((file) => file.stem === stem));
  const candidates = named.find((list) => list.length > 0) ?? programs;
  const [first, second] = candidates;
  if (first === undefined) {
    throw refusal(`agent_code/ holds no agent.* or main.* of a known language (${SUPPORTED})`);
  }
  const python = candidates.filter((file) => file.language === "python");
  const chosen =
    second === undefined ? first : python.length === 1 && named.includes(candidates) ? python[0] : undefined;
  if (chosen === undefined) {
    const names = candidates
      .map((file) => shown(file.entry))
      .sort()
      .slice(0, 3);
    throw refusal(`agent_code/ holds more than one possible entry: ${names.join(", ")}; name one of them agent.*`);
  }
  return { entry: chosen.entry, language: chosen.language };
}

/** The folder whose files may be the entry: empty for the top level, else with a slash at its end. */
function homeOf(files: readonly { readonly path: string }[]): string {
  if (files.some(({ path }) => languageOf(path) !== undefined)) return "";
  const folders = new Set(files.filter(({ path }) => path.includes("/")).map(({ path }) => path.split("/", 1)[0]));
  const [only] = folders;
  return folders.size === 1 && only !== undefined ? `${only}/` : "";
}

/** Of a top-level file; what lies deeper is a module of the agent, never its entry. */
function languageOf(path: string): AgentLanguage | undefined {
  if (path.includes("/")) return undefined;
  const extension = /\.([^.]+)$/.exec(path)?.[1] ?? "";
  return Object.hasOwn(LANGUAGES, extension) ? LANGUAGES[extension] : undefined;
}

/** The agent and its tar in the spool; disposing removes the tar unless it was adopted. */
export interface PackedAgent extends AsyncDisposable {
  readonly spec: AgentSpec;
  readonly path: string;
}

/**
 * @param source spool file that `files` point into
 * @param folder WORKSPACE_BASE
 * @throws AppError `extraction_failed`, `disk_full`; the signal's reason
 */
export async function packAgent(
  files: readonly AgentFile[],
  source: FileHandle,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<PackedAgent> {
  const { entry, language } = agentEntry(files);
  const home = entry.slice(0, entry.lastIndexOf("/") + 1);
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const spool = await openSpool(folder);
  try {
    const digest = await writeTar(sorted, source, spool, signal);
    await spool.close();
    const spec: AgentSpec = {
      digest,
      language,
      entry,
      requirements: (["requirements.txt", "package.json"] as const).filter((name) =>
        files.some((file) => file.path === home + name),
      ),
      sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
    };
    return { spec, path: spool.path, [Symbol.asyncDispose]: () => spool[Symbol.asyncDispose]() };
  } catch (error) {
    await spool[Symbol.asyncDispose]();
    throw error;
  }
}

async function writeTar(
  files: readonly AgentFile[],
  source: FileHandle,
  target: SpoolFile,
  signal: AbortSignal | undefined,
): Promise<Digest> {
  const tar = pack();
  const hash = createHash("sha256");
  const filling = fill(tar, files, source, signal).catch((error: unknown) => void tar.destroy(error as Error));
  try {
    for await (const chunk of tar as AsyncIterable<Buffer>) {
      hash.update(chunk);
      await target.write(chunk);
    }
  } finally {
    tar.destroy();
    await filling;
  }
  return hash.digest("hex") as Digest;
}

async function fill(
  tar: Pack,
  files: readonly AgentFile[],
  source: FileHandle,
  signal: AbortSignal | undefined,
): Promise<void> {
  const buffer = Buffer.alloc(256 * 1024);
  for (const file of files) {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const header = { name: file.path, size: file.sizeBytes, mode: file.executable ? 0o755 : 0o644, mtime: new Date(0) };
    const sink = tar.entry({ ...header, uid: 0, gid: 0, type: "file" }, (error) => (error ? reject(error) : resolve()));
    for (let at = 0; at < file.sizeBytes; ) {
      signal?.throwIfAborted();
      const length = Math.min(buffer.length, file.sizeBytes - at);
      const { bytesRead } = await source.read(buffer, 0, length, file.startBytes + at);
      if (bytesRead === 0) throw new Error("the spool file is shorter than what was written to it");
      at += bytesRead;
      const chunk = Buffer.from(buffer.subarray(0, bytesRead));
      if (!sink.write(chunk)) await drained(sink);
    }
    sink.end(undefined);
    await promise;
  }
  tar.finalize();
}

/** Resolves when `sink` takes more, or has been given up. */
async function drained(sink: ReturnType<Pack["entry"]>): Promise<void> {
  await new Promise<void>((resolve) => {
    const wake = () => {
      sink.off("drain", wake).off("close", wake);
      resolve();
    };
    sink.on("drain", wake).on("close", wake);
  });
}
