/**
 * The image that sandboxes are built on: Debian's official one where the engine can pull it, else one bootstrapped from
 * Debian's packages. The pull is tried with short deadlines, because on a closed network it would hang instead of fail.
 */
import { createReadStream, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type Docker from "dockerode";
import { CliError } from "../cli/errors.ts";
import { aptInstall, canInstall } from "./apt.ts";
import { onPath, run } from "./child.ts";
import { hasImage } from "./engine.ts";
import { images, paths } from "./paths.ts";
import type { Report } from "./report.ts";

const SUITE = "bookworm";
const OFFICIAL = "debian:bookworm-slim";
const FIRST_WORD_MS = 15_000;
const PULL_MS = 150_000;
const BOOTSTRAP_MS = 300_000;

/** Makes `proctor/base:bookworm` where this engine has none. @throws CliError `missing` */
export async function ensureBaseImage(report: Report, docker: Docker, signal: AbortSignal): Promise<void> {
  await report.step("base image", async (say) => {
    if (await hasImage(docker, images.base)) return say(`base image ${images.base} is there`);
    if (await pullOfficial(docker, signal)) return say(`base image ${images.base} from ${OFFICIAL}`);
    await bootstrap(docker, signal);
    return say(`base image ${images.base} bootstrapped from Debian's packages`);
  });
}

async function pullOfficial(docker: Docker, signal: AbortSignal): Promise<boolean> {
  const wasThere = await hasImage(docker, OFFICIAL);
  if (!wasThere && !(await pull(docker, OFFICIAL, signal))) return false;
  await docker.getImage(OFFICIAL).tag(images.baseName);
  // Only our own name stays, so that "proctor clean" takes away all that was brought.
  if (!wasThere) await docker.getImage(OFFICIAL).remove({});
  return true;
}

async function pull(docker: Docker, reference: string, signal: AbortSignal): Promise<boolean> {
  const abort = new AbortController();
  const onInterrupt = () => abort.abort();
  signal.addEventListener("abort", onInterrupt, { once: true });
  const total = setTimeout(() => abort.abort(), PULL_MS);
  let firstWord: NodeJS.Timeout | undefined = setTimeout(() => abort.abort(), FIRST_WORD_MS);
  try {
    const stream: NodeJS.ReadableStream = await docker.pull(reference, { abortSignal: abort.signal });
    abort.signal.addEventListener("abort", () => (stream as NodeJS.ReadableStream & { destroy(): void }).destroy());
    await new Promise<void>((resolve, reject) => {
      stream.once("close", () => reject(new Error("the pull broke off")));
      docker.modem.followProgress(
        stream,
        (error: Error | null) => (error === null ? resolve() : reject(error)),
        () => {
          clearTimeout(firstWord);
          firstWord = undefined;
        },
      );
    });
    return await hasImage(docker, reference);
  } catch {
    signal.throwIfAborted();
    return false; // whatever the cause: the other way needs no registry
  } finally {
    signal.removeEventListener("abort", onInterrupt);
    clearTimeout(total);
    clearTimeout(firstWord);
  }
}

async function bootstrap(docker: Docker, signal: AbortSignal): Promise<void> {
  if (!(await onPath("mmdebstrap"))) {
    if (!(await canInstall())) {
      throw new CliError(
        "missing",
        `${OFFICIAL} can't be pulled, and bootstrapping an image needs mmdebstrap`,
        'run "sudo apt-get install -y mmdebstrap" and run this again; or let the engine reach its registry',
      );
    }
    await aptInstall(["mmdebstrap"], signal);
  }
  mkdirSync(paths.temporary, { recursive: true });
  const tarball = join(paths.temporary, `base.${process.pid}.tar`);
  try {
    const proxy = await aptProxy();
    const ended = await run(
      "mmdebstrap",
      ["--variant=minbase", ...(proxy === "" ? [] : [`--aptopt=Acquire::http::Proxy "${proxy}"`]), SUITE, tarball],
      {
        timeoutMs: BOOTSTRAP_MS,
        signal,
        env: { ...process.env, TMPDIR: existsSync("/var/tmp") ? "/var/tmp" : "/tmp" },
      },
    );
    if (ended.exitCode !== 0) {
      const words = ended.tail.split("\n").slice(-8).join("\n");
      throw new CliError(
        "missing",
        `mmdebstrap failed (${ended.signal ?? ended.exitCode}):\n${words}`,
        "mend the cause above and run this again",
      );
    }
    await importTarball(docker, tarball);
  } finally {
    rmSync(tarball, { force: true });
  }
}

/** The site's package proxy, which mmdebstrap doesn't take over from the host. */
async function aptProxy(): Promise<string> {
  const ended = await run("apt-config", ["dump", "--format", "%v%n", "Acquire::http::Proxy"], { timeoutMs: 10_000 });
  const value = ended.stdout.split("\n")[0]?.trim() ?? "";
  return /^https?:\/\/[^"\\\s]+$/.test(value) ? value : "";
}

async function importTarball(docker: Docker, tarball: string): Promise<void> {
  const stream = await docker.importImage(createReadStream(tarball), {
    ...images.baseName,
    changes: "LABEL proctor.image=base",
  });
  await new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(stream, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });
  if (!(await hasImage(docker, images.base))) {
    throw new CliError(
      "unreachable",
      `the engine took ${images.base} and has it not`,
      "run this again; see the engine's log",
    );
  }
}
