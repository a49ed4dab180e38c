/** A lock between processes of one checkout: a file that names its holder; that of a process that is gone is taken over. */
import { randomUUID } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { CliError } from "../cli/errors.ts";
import { systemClock } from "../kernel/clock.ts";

/** Runs `work` while no other process does. Waits at most `waitMs`. @throws CliError naming the holder */
export async function withLock<T>(
  file: string,
  waitMs: number,
  onWait: (holder: number) => void,
  work: () => Promise<T>,
): Promise<T> {
  mkdirSync(dirname(file), { recursive: true });
  const own = `${file}.${randomUUID()}`;
  writeFileSync(own, String(process.pid));
  const deadline = systemClock.monotonicMs() + waitMs;
  try {
    for (let told = false; !take(own, file); ) {
      const holder = holderOf(file);
      if (holder !== undefined && !alive(holder)) {
        rmSync(file, { force: true });
        continue;
      }
      if (systemClock.monotonicMs() > deadline) {
        throw new CliError(
          "file",
          `process ${holder ?? "?"} holds ${file}`,
          "wait for it, or end it, and run this again",
        );
      }
      if (!told && holder !== undefined) {
        onWait(holder);
        told = true;
      }
      await systemClock.sleep(100);
    }
    rmSync(own, { force: true });
    try {
      return await work();
    } finally {
      rmSync(file, { force: true });
    }
  } finally {
    rmSync(own, { force: true });
  }
}

/** link(2) makes the file with its content in one step, or fails because it exists. */
function take(own: string, file: string): boolean {
  try {
    linkSync(own, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function holderOf(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, "utf8"));
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function alive(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
