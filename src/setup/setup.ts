/** Set-up: every step finds what is there already, so that it can be run again and again; nothing to do takes a moment. */
import { existsSync } from "node:fs";
import type Docker from "dockerode";
import { buildSandboxImage } from "../sandbox/docker/image.ts";
import { ensureBaseImage } from "./base-image.ts";
import { type Engine, ensureEngine, stopOurEngine } from "./engine.ts";
import { ensureGit } from "./git.ts";
import { withLock } from "./lock.ts";
import { hostCaFile, images, paths } from "./paths.ts";
import { ensurePostgres } from "./postgres.ts";
import type { Report } from "./report.ts";

const LOCK_WAIT_MS = 600_000;

/**
 * Brings what running (and, for tests, testing) needs: git, an engine, the base image, the sandbox image, PostgreSQL.
 * @throws CliError `missing` with the exact next step
 */
export async function setUp(report: Report, wanted: "run" | "test", signal: AbortSignal): Promise<Engine> {
  const onWait = (holder: number) => report.line(`  waiting for the set-up of process ${holder}`);
  return withLock(paths.setupLock, LOCK_WAIT_MS, onWait, async () => {
    await ensureGit(report, signal);
    const engine = await ensureEngine(report, signal);
    try {
      await ensureBaseImage(report, engine.docker, signal);
      await ensureSandboxImage(report, engine.docker, signal);
      if (wanted === "test") await ensurePostgres(report, signal);
      signal.throwIfAborted();
    } catch (error) {
      if (engine.startedNow) await stopOurEngine(); // a set-up that failed leaves nothing running
      throw error;
    }
    return engine;
  });
}

async function ensureSandboxImage(report: Report, docker: Docker, signal: AbortSignal): Promise<void> {
  await report.step("sandbox image", async (say) => {
    const built = await buildSandboxImage({
      docker,
      base: images.base,
      tag: images.sandbox,
      ...(existsSync(hostCaFile) ? { caFile: hostCaFile } : {}),
      signal,
    });
    say(`sandbox image ${images.sandbox} ${built.unchanged ? "is there" : "built"}`);
  });
}
