/**
 * The Docker engine. Theory of operation: one that answers is used as it is, and nothing is installed. Where none
 * answers, root on Debian gets `docker.io` and a `dockerd` of ours, detached, recorded under `.proctor/engine`, so that
 * a later command can end it; everybody else is told the exact words that help. A service manager's engine is started
 * through it and left to it.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import Docker from "dockerode";
import { CliError } from "../cli/errors.ts";
import { systemClock } from "../kernel/clock.ts";
import { aptInstall, canInstall, isRoot } from "./apt.ts";
import {
  endProcess,
  isRunning,
  onPath,
  processRecord,
  readRecord,
  removeRecord,
  run,
  startDetached,
  writeRecord,
} from "./child.ts";
import { paths } from "./paths.ts";
import type { Report } from "./report.ts";

const DEFAULT_SOCKET = "/var/run/docker.sock";
const PING_TIMEOUT_MS = 5_000;
const START_TIMEOUT_MS = 60_000;
/** dockerd gives its containers 10 s to end */
const STOP_GRACE_MS = 30_000;

export interface Engine {
  readonly docker: Docker;
  /** as DOCKER_HOST says it */
  readonly endpoint: string;
  /** this very run started it, and ends it where it ends what it started */
  readonly startedNow: boolean;
}

/** How an engine of ours is started; other values than the defaults are for tests. */
export interface EngineOptions {
  readonly endpoint: string;
  readonly directory: string;
  readonly record: string;
  /** further arguments of dockerd */
  readonly args: readonly string[];
}

/** The engine that DOCKER_HOST names, else the default socket. */
export function defaultEngineOptions(): EngineOptions {
  const endpoint = (process.env.DOCKER_HOST ?? "") || `unix://${DEFAULT_SOCKET}`;
  return { endpoint, directory: paths.engineDir, record: paths.engineRecord, args: [] };
}

/** A client for `endpoint`. @throws CliError `config` where it is none that dockerode speaks */
export function connect(endpoint: string, timeoutMs?: number): Docker {
  const timeout = timeoutMs === undefined ? {} : { timeout: timeoutMs };
  if (endpoint.startsWith("unix://")) return new Docker({ socketPath: endpoint.slice("unix://".length), ...timeout });
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !["tcp:", "http:", "https:"].includes(url.protocol)) {
    throw new CliError("config", `DOCKER_HOST=${endpoint} is not unix:///path, tcp://host:port or https://host:port`);
  }
  const isTls = url.protocol === "https:" || (process.env.DOCKER_TLS_VERIFY ?? "") !== "";
  const port = url.port === "" ? (isTls ? 2376 : 2375) : Number(url.port);
  return new Docker({ host: url.hostname, port, protocol: isTls ? "https" : "http", ...timeout });
}

/** @returns the engine's version; or why it does not answer */
async function ping(endpoint: string): Promise<{ version: string } | { problem: string; errno: string }> {
  try {
    const { Version } = await connect(endpoint, PING_TIMEOUT_MS).version();
    return { version: Version };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { problem: message, errno: code ?? "" };
  }
}

/** The engine that answers now, without installing or starting anything. */
export async function findEngine(options: EngineOptions = defaultEngineOptions()): Promise<Engine | undefined> {
  const answer = await ping(options.endpoint);
  return "version" in answer
    ? { docker: connect(options.endpoint), endpoint: options.endpoint, startedNow: false }
    : undefined;
}

/** An engine that answers. @throws CliError `missing` with the words that help */
export async function ensureEngine(
  report: Report,
  signal: AbortSignal,
  options: EngineOptions = defaultEngineOptions(),
): Promise<Engine> {
  return report.step("Docker engine", async (say) => {
    const answer = await ping(options.endpoint);
    if ("version" in answer) {
      say(`Docker engine ${answer.version} answers at ${options.endpoint}`);
      return { docker: connect(options.endpoint), endpoint: options.endpoint, startedNow: false };
    }
    await refuseWhereNotOurs(options.endpoint, answer);
    if (!(await onPath("dockerd"))) await aptInstall(["docker.io"], signal);
    const how = await startEngine(options);
    const started = await ping(options.endpoint);
    const version = "version" in started ? started.version : "";
    say(
      `Docker engine ${version} started ${how === "ours" ? `(log: ${join(options.directory, "dockerd.log")})` : "by systemd"}`,
    );
    return { docker: connect(options.endpoint), endpoint: options.endpoint, startedNow: how === "ours" };
  });
}

async function refuseWhereNotOurs(endpoint: string, answer: { problem: string; errno: string }): Promise<void> {
  const user = userInfo().username;
  if (answer.errno === "EACCES" || answer.errno === "EPERM") {
    throw new CliError(
      "missing",
      `the Docker engine's socket ${endpoint} is closed to user ${user}`,
      `run "sudo usermod -aG docker ${user}", log in again, and run this again`,
    );
  }
  if ((process.env.DOCKER_HOST ?? "") !== "") {
    throw new CliError(
      "missing",
      `DOCKER_HOST=${endpoint} does not answer: ${answer.problem}`,
      "start that engine, or unset DOCKER_HOST to use this machine's own",
    );
  }
  if (await onPath("dockerd")) {
    if (isRoot()) return;
    throw new CliError(
      "missing",
      `Docker is installed but no engine answers at ${endpoint}`,
      `run "sudo systemctl start docker" (or "sudo service docker start"), and "sudo usermod -aG docker ${user}"; log in again and run this again`,
    );
  }
  if (await canInstall()) return;
  throw new CliError(
    "missing",
    `no Docker engine answers at ${endpoint}, and installing one needs root on a Debian system`,
    `run "sudo apt-get install -y docker.io && sudo usermod -aG docker ${user}", log in again, and run this again; or name a running engine by DOCKER_HOST`,
  );
}

async function startEngine(options: EngineOptions): Promise<"ours" | "systemd"> {
  const isDefault = options.endpoint === `unix://${DEFAULT_SOCKET}`;
  if (isDefault && existsSync("/run/systemd/system")) {
    const ended = await run("systemctl", ["start", "docker"], { timeoutMs: START_TIMEOUT_MS });
    if (ended.exitCode === 0 && (await answersWithin(options.endpoint, () => true))) return "systemd";
    throw new CliError("missing", `"systemctl start docker" failed: ${ended.tail}`, 'see "journalctl -u docker"');
  }
  await startOurs(options);
  return "ours";
}

async function startOurs(options: EngineOptions): Promise<void> {
  const logFile = join(options.directory, "dockerd.log");
  const pidFile = join(options.directory, "dockerd.pid");
  mkdirSync(options.directory, { recursive: true });
  let path = `${process.env.PATH ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin`;
  for (let attempt = 1; ; attempt++) {
    rmSync(logFile, { force: true });
    rmSync(pidFile, { force: true });
    const args = ["--host", options.endpoint, "--pidfile", pidFile, ...options.args];
    const record = await startDetached("dockerd", args, { logFile, cwd: "/", env: { ...process.env, PATH: path } });
    writeRecord(options.record, { ...record, endpoint: options.endpoint });
    if (await answersWithin(options.endpoint, () => isRunning(record))) return;
    await endProcess(record, STOP_GRACE_MS);
    removeRecord(options.record);
    const log = tailOf(logFile);
    const legacy = "/usr/sbin/iptables-legacy";
    if (attempt === 1 && /iptables|nf_tables|chain/i.test(log) && existsSync(legacy)) {
      // A kernel without nf_tables: the legacy tool, for this process alone instead of for the whole system.
      path = `${shimFolder(options.directory)}:${path}`;
      continue;
    }
    throw new CliError(
      "missing",
      `dockerd was started and did not answer at ${options.endpoint} within ${START_TIMEOUT_MS / 1000} s; its last words:\n${log}`,
      `see ${logFile}; inside a container, that container must be privileged`,
    );
  }
}

function shimFolder(directory: string): string {
  const folder = join(directory, "bin");
  mkdirSync(folder, { recursive: true });
  for (const tool of ["iptables", "ip6tables"]) {
    rmSync(join(folder, tool), { force: true });
    symlinkSync(`/usr/sbin/${tool}-legacy`, join(folder, tool));
  }
  return folder;
}

async function answersWithin(endpoint: string, isAlive: () => boolean): Promise<boolean> {
  const deadline = systemClock.monotonicMs() + START_TIMEOUT_MS;
  while (systemClock.monotonicMs() < deadline && isAlive()) {
    if ("version" in (await ping(endpoint))) return true;
    await systemClock.sleep(100);
  }
  return false;
}

function tailOf(file: string): string {
  try {
    const lines = readFileSync(file, "utf8").trim().split("\n");
    const telling = lines.filter((line) => /level=(fatal|error)|failed/i.test(line));
    return (telling.length > 0 ? telling : lines).slice(-6).join("\n");
  } catch {
    return "(nothing)";
  }
}

/** Ends the engine that a set-up started and recorded. @returns whether there was one */
export async function stopOurEngine(record = paths.engineRecord): Promise<boolean> {
  const started = readRecord(record, processRecord);
  if (started === undefined) return false;
  const wasRunning = await endProcess(started, STOP_GRACE_MS);
  removeRecord(record);
  return wasRunning;
}

/** Whether this engine has an image of that name. */
export async function hasImage(docker: Docker, reference: string): Promise<boolean> {
  try {
    await docker.getImage(reference).inspect();
    return true;
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return false;
    throw error;
  }
}
