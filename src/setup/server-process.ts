/** The server that quickstart leaves running: started detached, recorded, found again, ended. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import * as v from "valibot";
import { CliError } from "../cli/errors.ts";
import { systemClock } from "../kernel/clock.ts";
import { endProcess, isRunning, processRecord, readRecord, removeRecord, startDetached, writeRecord } from "./child.ts";
import { isCheckout, packageRoot, paths } from "./paths.ts";

const READY_TIMEOUT_MS = 60_000;
const ASK_TIMEOUT_MS = 2_000;
/** the server drains for 30 s by default, then hands its tasks back */
const END_GRACE_MS = 45_000;

const serverRecord = v.object({ ...processRecord.entries, url: v.string(), fingerprint: v.string() });
export type ServerRecord = v.InferOutput<typeof serverRecord>;

export interface ServerPlan {
  readonly host: string;
  readonly port: number;
  /** the whole environment */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** The recorded server, where it still runs. */
export function findServer(): ServerRecord | undefined {
  const record = readRecord(paths.serverRecord, serverRecord);
  return record !== undefined && isRunning(record) ? record : undefined;
}

/** Starts a server and waits until it is ready. @throws CliError with the last lines of its log */
export async function startServer(plan: ServerPlan): Promise<ServerRecord> {
  const program = join(packageRoot, isCheckout ? "src/main.ts" : "dist/main.js");
  const url = `http://${plan.host}:${plan.port}`;
  const started = await startDetached(process.execPath, [program, "serve"], {
    logFile: paths.serverLog,
    cwd: packageRoot,
    env: { ...plan.environment, HOST: plan.host, PORT: String(plan.port) },
  });
  const record = { ...started, url, fingerprint: fingerprintOf(plan) };
  writeRecord(paths.serverRecord, record);
  const deadline = systemClock.monotonicMs() + READY_TIMEOUT_MS;
  while (isRunning(record)) {
    if (await isReady(url)) return record;
    if (systemClock.monotonicMs() > deadline) break;
    await systemClock.sleep(100);
  }
  await endServer();
  throw new CliError(
    "unreachable",
    `the server did not become ready; its last words:\n${lastWords()}`,
    `see ${paths.serverLog}`,
  );
}

/** Ends the recorded server; it drains first. @returns whether one was running */
export async function endServer(): Promise<boolean> {
  const record = readRecord(paths.serverRecord, serverRecord);
  const wasRunning = record !== undefined && (await endProcess(record, END_GRACE_MS));
  removeRecord(paths.serverRecord);
  return wasRunning;
}

export async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/ready`, { signal: AbortSignal.timeout(ASK_TIMEOUT_MS) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

/** A port that can be listened on: the wanted one, or one that the system chooses. */
export async function freePort(host: string, wanted: number): Promise<number> {
  for (const port of [wanted, 0]) {
    const found = await new Promise<number | undefined>((resolve) => {
      const probe = createServer();
      probe.once("error", () => resolve(undefined));
      probe.listen(port, host, () => {
        const address = probe.address();
        probe.close(() => resolve(typeof address === "object" && address !== null ? address.port : undefined));
      });
    });
    if (found !== undefined) return found;
  }
  throw new CliError("missing", `no port of ${host} can be listened on`, "see what this machine's network allows");
}

/** Tells a server that runs this very code with these settings from one that does not. */
export function fingerprintOf(plan: Pick<ServerPlan, "environment">): string {
  const hash = createHash("sha256").update(JSON.stringify(Object.entries(plan.environment).sort()));
  const code = join(packageRoot, isCheckout ? "src" : "dist");
  for (const name of readdirSync(code, { recursive: true, encoding: "utf8" }).sort()) {
    const { size, mtimeMs } = statSync(join(code, name));
    hash.update(`${name}\0${size}\0${mtimeMs}\n`);
  }
  return hash.digest("hex");
}

function lastWords(): string {
  if (!existsSync(paths.serverLog)) return "(nothing)";
  return readFileSync(paths.serverLog, "utf8").trim().split("\n").slice(-8).join("\n").slice(-4_000);
}
