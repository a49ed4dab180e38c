/** Debian's packages, installed without a question asked; only as root, only what is absent. */
import { CliError } from "../cli/errors.ts";
import { systemClock } from "../kernel/clock.ts";
import { onPath, run } from "./child.ts";

const TRIES = 3;
const APT_TIMEOUT_MS = 300_000;
const options = ["-o", "DPkg::Lock::Timeout=240", "-o", "Acquire::Retries=5", "-o", "Dpkg::Use-Pty=0"];

export const isRoot = () => process.getuid?.() === 0;

/** Whether this process may install packages here. */
export async function canInstall(): Promise<boolean> {
  return isRoot() && (await onPath("apt-get"));
}

let isUpdated = false;

/** Installs `packages`. @throws CliError `missing` with what apt said last */
export async function aptInstall(packages: readonly string[], signal: AbortSignal): Promise<void> {
  // A policy that denies the start of services (usual in containers) is no failure: we start what we need ourselves.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8", NEEDRESTART_SUSPEND: "1" };
  const apt = (args: readonly string[]) =>
    run("apt-get", [...options, ...args], {
      timeoutMs: APT_TIMEOUT_MS,
      env,
      signal,
    });
  let tail = "";
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    // One broken third-party list fails an update and leaves Debian's own usable: the installation decides.
    if (!isUpdated) isUpdated = (await apt(["-q", "update"])).exitCode === 0;
    const ended = await apt(["-q", "install", "-y", "--no-install-recommends", ...packages]);
    if (ended.exitCode === 0) return;
    tail = ended.tail.split("\n").slice(-15).join("\n");
    isUpdated = false; // a stale list names files that the mirror has replaced
    if (attempt < TRIES) await systemClock.sleep(2_000 * attempt, signal);
  }
  throw new CliError(
    "missing",
    `"apt-get install ${packages.join(" ")}" failed ${TRIES} times:\n${tail}`,
    "mend the cause above and run this again",
  );
}
