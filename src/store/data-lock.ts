/**
 * One process owns a DATA_DIR. Between processes of one machine the kernel decides (folder-guard.ts). The lock file says
 * who holds it, and decides between machines and containers on one volume; it is made by `link`, so it is there whole or
 * not at all. A holder on this machine is alive when a process of that id and start time is (ids are used again, start
 * times are not). A holder elsewhere – another host or container on the same volume – can't be asked: it touches the file
 * every few seconds, and one that stays untouched is dead.
 */
import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "../kernel/errors.ts";
import { codeOf } from "./errors.ts";
import { guardFolder } from "./folder-guard.ts";

const TOUCH_MS = 3_000;
/** How long a foreign lock is watched before it counts as left behind. */
const WATCH_MS = 4 * TOUCH_MS;

export interface DataLock {
  /** Gives it back. Never throws; safe to call twice. */
  release(): Promise<void>;
}

interface Holder {
  readonly pid: number;
  /** start time of the process in clock ticks since boot; "" where the system doesn't tell */
  readonly started: string;
  /** host, boot and pid namespace: where `pid` means something */
  readonly place: string;
  readonly host: string;
  readonly since: string;
  readonly token: string;
}

/** @throws AppError `data_dir_locked` naming who holds it */
export async function lockDataDir(dataDir: string, watchMs: number = WATCH_MS): Promise<DataLock> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = join(dataDir, "lock");
  const unguard = await guardFolder(dataDir);
  if (unguard === undefined) throw heldBy(path, parseHolder(await readFile(path, "utf8").catch(() => "")));
  const own: Holder = {
    pid: process.pid,
    started: startTimeOf(process.pid) ?? "",
    place: thisPlace(),
    host: hostname(),
    since: new Date().toISOString(),
    token: randomUUID(),
  };
  const draft = `${path}.${own.token}`;
  try {
    await writeFile(draft, JSON.stringify(own), { mode: 0o600, flag: "wx" });
    await take(path, draft, own, watchMs);
  } catch (error) {
    await unguard();
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
  const touching = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, TOUCH_MS).unref();
  return {
    async release() {
      clearInterval(touching);
      const text = await readFile(path, "utf8").catch(() => "");
      if (parseHolder(text)?.token === own.token) await rm(path, { force: true }).catch(() => undefined);
      await unguard();
    },
  };
}

async function take(path: string, draft: string, own: Holder, watchMs: number): Promise<void> {
  // Each round either gets the file, finds a live holder, or removes one dead holder; rivals make a few more rounds.
  for (let round = 0; round < 20; round++) {
    try {
      await link(draft, path);
      return;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    const text = await readFile(path, "utf8").catch(() => undefined);
    if (text === undefined) continue;
    const holder = parseHolder(text);
    if (await isAlive(path, holder, own, watchMs)) throw heldBy(path, holder);
    await removeExactly(path, text, own.token);
  }
  throw heldBy(path, undefined);
}

/** Removes the lock file only if it still says what was judged dead: a rival may have replaced it meanwhile. */
async function removeExactly(path: string, text: string, token: string): Promise<void> {
  const aside = `${path}.${token}.stale`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return;
    throw error;
  }
  if ((await readFile(aside, "utf8")) !== text) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

async function isAlive(path: string, holder: Holder | undefined, own: Holder, watchMs: number): Promise<boolean> {
  if (holder !== undefined && holder.place === own.place) {
    if (holder.pid === process.pid && holder.started === own.started) return true;
    const started = startTimeOf(holder.pid);
    return started !== undefined && (holder.started === "" || started === holder.started);
  }
  const before = await stat(path).catch(() => undefined);
  await sleep(watchMs);
  const after = await stat(path).catch(() => undefined);
  return before !== undefined && after !== undefined && after.mtimeMs > before.mtimeMs;
}

function heldBy(path: string, holder: Holder | undefined): AppError {
  const who =
    holder === undefined ? "another process" : `process ${holder.pid} on ${holder.host}, started ${holder.since}`;
  return new AppError(
    "data_dir_locked",
    `data folder is in use by ${who} (lock file ${path}); stop that server, or set DATA_DIR to another folder`,
  );
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return undefined;
    const { pid, started, place, host, since, token } = value as Record<string, unknown>;
    if (!Number.isSafeInteger(pid)) return undefined;
    return {
      pid: pid as number,
      started: String(started),
      place: String(place),
      host: String(host),
      since: String(since),
      token: String(token),
    };
  } catch {
    return undefined;
  }
}

/** @returns field 22 of /proc/<pid>/stat; "" where there is no /proc but the process lives; undefined when it is gone */
function startTimeOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    // A zombie has ended: nobody runs its code any more.
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    try {
      process.kill(pid, 0);
      return process.platform === "linux" ? undefined : "";
    } catch (error) {
      return codeOf(error) === "EPERM" && process.platform !== "linux" ? "" : undefined;
    }
  }
}

function thisPlace(): string {
  const read = (get: () => string): string => {
    try {
      return get().trim();
    } catch {
      return "-";
    }
  };
  const boot = read(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"));
  return `${hostname()} ${boot} ${read(() => readlinkSync("/proc/self/ns/pid"))}`;
}
