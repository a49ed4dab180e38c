/** Programs that set-up runs: to their end with a bounded memory of what they said, or detached with a record. */
import { type SpawnOptions, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import * as v from "valibot";
import { systemClock } from "../kernel/clock.ts";

const TAIL_CHARS_MAX = 16_384;

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** end of stdout and stderr together */
  readonly tail: string;
  readonly stdout: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** after this the program is killed and the run rejects, ms */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** true: the program writes to our own terminal */
  readonly inherit?: boolean;
}

/** Runs a program to its end. Rejects where it can't be started (ENOENT), is out of time, or with the signal's reason. */
export function run(command: string, args: readonly string[], options: RunOptions): Promise<Ended> {
  const signal = AbortSignal.any([
    AbortSignal.timeout(options.timeoutMs),
    ...(options.signal === undefined ? [] : [options.signal]),
  ]);
  const spawnOptions: SpawnOptions = {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: options.env ?? process.env,
    stdio: options.inherit === true ? "inherit" : ["ignore", "pipe", "pipe"],
    signal,
    killSignal: "SIGTERM",
  };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, spawnOptions);
    let tail = "";
    let stdout = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      tail = (tail + text).slice(-TAIL_CHARS_MAX);
      stdout = (stdout + text).slice(-1_048_576);
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      tail = (tail + text).slice(-TAIL_CHARS_MAX);
    });
    let failure: Error | undefined;
    child.on("error", (error) => {
      failure =
        error.name === "AbortError" && options.signal?.aborted !== true
          ? new Error(`${command} ${args.join(" ")} did not end within ${options.timeoutMs / 1000} s`)
          : error;
      if (child.pid === undefined) reject(failure); // never started: no "close" will come
    });
    child.on("close", (exitCode, endSignal) => {
      if (options.signal?.aborted === true) reject(options.signal.reason);
      else if (failure === undefined) resolve({ exitCode, signal: endSignal, tail: tail.trim(), stdout });
      else reject(failure);
    });
  });
}

/** Whether `command` is on PATH (or in the places where root's programs are). */
export async function onPath(command: string): Promise<boolean> {
  const ended = await run("/bin/sh", ["-c", 'command -v "$1"', "sh", command], {
    timeoutMs: 10_000,
    env: { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin` },
  });
  return ended.exitCode === 0;
}

export const processRecord = v.object({
  pid: v.pipe(v.number(), v.integer(), v.minValue(2)),
  /** field 22 of /proc/PID/stat: tells a process from a later one with the same number */
  startTicks: v.optional(v.string()),
});
export type ProcessRecord = v.InferOutput<typeof processRecord>;

/** Starts a program that outlives us; stdout and stderr go to `logFile`. */
export async function startDetached(
  command: string,
  args: readonly string[],
  options: { readonly logFile: string; readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<ProcessRecord> {
  mkdirSync(dirname(options.logFile), { recursive: true });
  const log = openSync(options.logFile, "a", 0o600);
  try {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env,
      detached: true,
      stdio: ["ignore", log, log],
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", () => resolve());
      child.once("error", reject);
    });
    child.unref();
    const pid = child.pid ?? 0;
    const startTicks = readStartTicks(pid);
    return { pid, ...(startTicks === undefined ? {} : { startTicks }) };
  } finally {
    closeSync(log);
  }
}

function readStartTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Whether the very process of the record still runs (a zombie doesn't). */
export function isRunning(record: ProcessRecord): boolean {
  try {
    process.kill(record.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  if (process.platform !== "linux") return true;
  const startTicks = readStartTicks(record.pid);
  return startTicks !== undefined && startTicks === record.startTicks;
}

/** Ends a recorded process: SIGTERM, then SIGKILL after `graceMs`. @returns whether it was running */
export async function endProcess(record: ProcessRecord, graceMs: number): Promise<boolean> {
  if (!isRunning(record)) return false;
  process.kill(record.pid, "SIGTERM");
  if (await goneWithin(record, graceMs)) return true;
  process.kill(record.pid, "SIGKILL");
  await goneWithin(record, 5_000);
  return true;
}

async function goneWithin(record: ProcessRecord, ms: number): Promise<boolean> {
  const deadline = systemClock.monotonicMs() + ms;
  while (isRunning(record)) {
    if (systemClock.monotonicMs() > deadline) return false;
    await systemClock.sleep(50);
  }
  return true;
}

/** Keeps what was started, so that a later command can end it. */
export function writeRecord(file: string, record: object): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(record)}\n`, { mode: 0o600 });
}

/** @returns undefined where there is no such record, or none of that form */
export function readRecord<T extends v.GenericSchema>(file: string, schema: T): v.InferOutput<T> | undefined {
  try {
    const parsed = v.safeParse(schema, JSON.parse(readFileSync(file, "utf8")));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

export function removeRecord(file: string): void {
  rmSync(file, { force: true });
}
