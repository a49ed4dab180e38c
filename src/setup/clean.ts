/**
 * Removes what is ours: containers, volumes and networks by the label `proctor.instance`, images by the label
 * `proctor.image` or a name under `proctor/`, the server and engine that we started, and `.proctor/`. What it finds is
 * listed first and asked about. Everybody's on this engine: two checkouts that share one share this command.
 */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import type Docker from "dockerode";
import { CliError } from "../cli/errors.ts";
import { isRoot } from "./apt.ts";
import { onPath } from "./child.ts";
import { type Engine, ensureEngine, findEngine, stopOurEngine } from "./engine.ts";
import { paths, stateDir } from "./paths.ts";
import type { Report } from "./report.ts";
import { endServer } from "./server-process.ts";

/** apt has no part in it: dockerd is there already */
const REVIVE_MS = 120_000;

export interface Ours {
  readonly containers: readonly string[];
  readonly volumes: readonly string[];
  readonly networks: readonly string[];
  readonly images: readonly string[];
}

/** Everything of ours on an engine: ids, and names of volumes. */
export async function findOurs(docker: Docker): Promise<Ours> {
  const label = ["proctor.instance"];
  const [containers, { Volumes }, networks, labelled, named] = await Promise.all([
    docker.listContainers({ all: true, filters: { label } }),
    docker.listVolumes({ filters: { label } }),
    docker.listNetworks({ filters: { label } }),
    docker.listImages({ all: true, filters: { label: ["proctor.image"] } }),
    docker.listImages({ filters: { reference: ["proctor/*", "proctor/*/*"] } }),
  ]);
  // Children before parents: what was built last goes first.
  const images = [...labelled, ...named].sort((a, b) => b.Created - a.Created);
  return {
    containers: containers.map(({ Id }) => Id),
    volumes: (Volumes ?? []).map(({ Name }) => Name),
    networks: networks.map(({ Id }) => Id),
    images: [...new Set(images.map(({ Id }) => Id))],
  };
}

/** Removes what `findOurs` found; what is gone already is fine. @returns what could not be removed, with the reason */
export async function removeOurs(docker: Docker, ours: Ours): Promise<readonly string[]> {
  const problems: string[] = [];
  const attempt = async (what: string, work: () => Promise<unknown>) => {
    try {
      await work();
    } catch (error) {
      const { statusCode, message } = error as { statusCode?: number; message: string };
      if (statusCode !== 404) problems.push(`${what}: ${message}`);
    }
  };
  for (const id of ours.containers) {
    await attempt(`container ${id.slice(0, 12)}`, () => docker.getContainer(id).remove({ force: true, v: true }));
  }
  for (const name of ours.volumes)
    await attempt(`volume ${name}`, () => docker.getVolume(name).remove({ force: true }));
  for (const id of ours.networks) await attempt(`network ${id.slice(0, 12)}`, () => docker.getNetwork(id).remove());
  for (const id of ours.images) {
    await attempt(`image ${id.slice(7, 19)}`, () => docker.getImage(id).remove({ force: true }));
  }
  return problems;
}

/** `proctor clean`. @throws CliError where something could not be removed, or the answer was no */
export async function clean(report: Report, options: { readonly yes: boolean }): Promise<void> {
  const engine = (await findEngine()) ?? (await reviveEngine(report));
  const ours: Ours =
    engine === undefined ? { containers: [], volumes: [], networks: [], images: [] } : await findOurs(engine.docker);
  const files = existsSync(stateDir) ? readdirSync(stateDir) : [];
  const found = [
    [ours.containers.length, "containers"],
    [ours.volumes.length, "volumes"],
    [ours.networks.length, "networks"],
    [ours.images.length, "images"],
  ] as const;
  const listed = found.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  if (files.length > 0) listed.push(`${stateDir} (${files.sort().join(", ")})`);
  if (engine === undefined) report.line("no Docker engine answers: its images and containers are not looked at");
  if (listed.length === 0) return report.line("nothing of Proctor is here"); // then there was no engine of ours to revive
  report.line(`to be removed: ${listed.join(", ")}`);
  try {
    if (!options.yes && !(await confirmed())) throw new CliError("negative", "nothing was removed");
    await removeAll(report, engine);
  } finally {
    if (engine?.startedNow === true) await stopOurEngine();
  }
}

/** An engine of ours that was ended still has our images on its disk: it is started once more for them. */
async function reviveEngine(report: Report): Promise<Engine | undefined> {
  if (!existsSync(paths.engineDir) || !isRoot() || !(await onPath("dockerd"))) return undefined;
  return ensureEngine(report, AbortSignal.timeout(REVIVE_MS));
}

async function removeAll(report: Report, engine: Engine | undefined): Promise<void> {
  await endServer();
  // Looked up again: until just now the server may have made more.
  const problems = engine === undefined ? [] : await removeOurs(engine.docker, await findOurs(engine.docker));
  await stopOurEngine();
  rmSync(stateDir, { recursive: true, force: true });
  if (problems.length > 0) {
    throw new CliError("unreachable", `not removed: ${problems.join("; ")}`, "see what holds them, and run this again");
  }
  report.line("removed");
}

async function confirmed(): Promise<boolean> {
  if (process.stdin.isTTY !== true) {
    throw new CliError("usage", "nobody can be asked here", 'run "proctor clean --yes"');
  }
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await asking.question("Remove all of that? [y/N] ")).trim());
  } finally {
    asking.close();
  }
}
