/** Building the sandbox image from images/sandbox on an engine. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import type Docker from "dockerode";
import { pack } from "tar-stream";
import { AppError } from "../../kernel/errors.ts";

export interface BuildImageOptions {
  readonly docker: Docker;
  /** image that it is built on: Debian 12 or an official image of that age */
  readonly base: string;
  /** name of the result, e.g. `proctor/sandbox:latest` */
  readonly tag: string;
  /** certificate bundle that downloads of the build trust; nothing of it stays in the image */
  readonly caFile?: string | undefined;
  /** told each line that the build prints */
  readonly log?: ((line: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BuiltImage {
  /** `sha256:…` */
  readonly id: string;
  /** the image of that name was there already and has the same content */
  readonly unchanged: boolean;
}

const FOLDER = join(import.meta.dirname, "../../../images/sandbox");
const CONTENT_LABEL = "proctor.content";
const BUILD_ARGUMENTS_OF_HOST = ["http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"];

interface ContextFile {
  readonly name: string;
  readonly content: Buffer;
}

/**
 * Builds the sandbox image, or finds that it is there: a label holds a digest of the sources and of the base's id.
 * @throws AppError `image_missing` where the base is not on this engine, `sandbox_unavailable` where the build fails
 */
export async function buildSandboxImage(options: BuildImageOptions): Promise<BuiltImage> {
  const { docker, base, tag } = options;
  const baseInfo = await inspect(docker, base);
  if (baseInfo === undefined) {
    throw new AppError("image_missing", `base image ${base} is not on this engine; pull it, or name another by BASE`);
  }
  const sources = await readSources();
  const content = digestOf([...sources, { name: "base", content: Buffer.from(baseInfo.Id) }]);
  const found = await inspect(docker, tag);
  if (found?.Config?.Labels?.[CONTENT_LABEL] === content) return { id: found.Id, unchanged: true };

  const ca = options.caFile === undefined ? Buffer.alloc(0) : await readFile(options.caFile);
  const stream = await docker.buildImage(archive([...sources, { name: "extra-ca.crt", content: ca }]), {
    t: tag,
    // BuildKit: its bind mounts are how the certificates reach a step without becoming part of a layer
    version: "2",
    buildargs: { BASE: base, ...proxies() },
    labels: { "proctor.image": "sandbox", [CONTENT_LABEL]: content },
    ...(options.signal === undefined ? {} : { abortSignal: options.signal }),
  });
  await follow(docker, stream, options);
  const built = await inspect(docker, tag);
  if (built === undefined) throw new AppError("sandbox_unavailable", `the build of ${tag} ended without an image`);
  return { id: built.Id, unchanged: false };
}

async function inspect(docker: Docker, reference: string): Promise<Docker.ImageInspectInfo | undefined> {
  try {
    return await docker.getImage(reference).inspect();
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return undefined;
    throw error;
  }
}

async function readSources(): Promise<ContextFile[]> {
  const names = await readdir(FOLDER, { recursive: true, withFileTypes: true });
  const files = names
    .filter((entry) => entry.isFile() && /(^Dockerfile|\.[ch]|^Makefile)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  return Promise.all(
    files.map(async (path) => ({ name: path.slice(FOLDER.length + 1), content: await readFile(path) })),
  );
}

function digestOf(files: readonly ContextFile[]): string {
  const hash = createHash("sha256");
  for (const { name, content } of files) hash.update(`${name}\0${content.length}\0`).update(content);
  return hash.digest("hex");
}

function archive(files: readonly ContextFile[]): Readable {
  const tar = pack();
  for (const { name, content } of files) tar.entry({ name, mode: 0o644 }, content);
  tar.finalize();
  return Readable.from(tar);
}

function proxies(): Record<string, string> {
  const set = BUILD_ARGUMENTS_OF_HOST.map((name) => [name, process.env[name] ?? ""] as const);
  return Object.fromEntries(set.filter(([, value]) => value !== ""));
}

/** The client has this method, its types don't: it decodes what BuildKit says. */
interface ProgressFollower {
  followProgress(
    stream: NodeJS.ReadableStream,
    onFinished: (error: Error | null) => void,
    onProgress: (event: BuildEvent) => void,
  ): void;
}

interface BuildEvent {
  readonly stream?: string;
  readonly error?: string;
  readonly errorDetail?: { readonly message?: string };
}

/** Reads the build's events to their end; an `error` among them is the only sign of a failed step. */
async function follow(docker: Docker, stream: NodeJS.ReadableStream, options: BuildImageOptions): Promise<void> {
  let failure: string | undefined;
  const lastLines: string[] = [];
  const onEvent = (event: BuildEvent) => {
    failure ??= event.error ?? event.errorDetail?.message;
    for (const line of readable(event.stream ?? "").split(/\r?\n/)) {
      if (line.trim() === "") continue;
      options.log?.(line);
      lastLines.push(line.slice(0, 300));
      if (lastLines.length > 8) lastLines.shift();
    }
  };
  await new Promise<void>((resolve, reject) => {
    const follower = docker as unknown as ProgressFollower;
    follower.followProgress(stream, (error) => (error === null ? resolve() : reject(error)), onEvent);
  });
  if (failure === undefined) return;
  throw new AppError(
    "sandbox_unavailable",
    `building ${options.tag} on ${options.base} failed: ${failure.slice(0, 200)}; last lines: ${lastLines.join(" | ")}`,
  );
}

/** The client hands a step's own output over in base64, and its own lines as they are. */
function readable(text: string): string {
  const line = text.trimEnd();
  const isEncoded = line.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(line);
  return isEncoded ? Buffer.from(line, "base64").toString("utf8") : text;
}
