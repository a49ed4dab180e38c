/** A real server as its operator runs it: a child process, its own data folder, its own port. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { removeInstance } from "../../support/remove-instance.ts";

const main = resolve(import.meta.dirname, "../../../src/main.ts");
const START_LIMIT_MS = 60_000;

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly pid: number;
  /** label value of everything it makes on the engine */
  readonly instance: string;
  /** every line it logged so far */
  readonly log: readonly string[];
  /** resident memory of the server process now, bytes */
  memoryBytes(): Promise<number>;
  /** Sends the signal and waits for the end. @returns exit code, or the signal's name */
  end(signal: NodeJS.Signals): Promise<number | string>;
}

/** Instances that servers of these tests had, by DATA_DIR. */
const instances = new Map<string, string>();

/** A folder for one test's servers: data, kept images and volumes survive a restart of the server, not the test. */
export async function makeDataDir(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "proctor-e2e-"));
  return {
    path,
    async [Symbol.asyncDispose]() {
      const own = [...instances].filter(([dataDir]) => dataDir.startsWith(`${path}/`));
      for (const [, instance] of own) await removeInstance(instance);
      await rm(path, { recursive: true, force: true });
    },
  };
}

/** Starts `proctor serve` and waits until it says that it listens. */
export async function startServer(dataDir: string, environment: Record<string, string>): Promise<TestServer> {
  const child = spawn(process.execPath, [main, "serve"], {
    env: {
      PATH: process.env.PATH ?? "",
      HOME: process.env.HOME ?? "/",
      HOST: "127.0.0.1",
      PORT: "0",
      DATA_DIR: dataDir,
      WORKSPACE_BASE: join(dataDir, "spool"),
      DRAIN_TIMEOUT_SECS: "5",
      ...environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log: string[] = [];
  const { url, instance } = await listening(child, log).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw error;
  });
  instances.set(dataDir, instance);
  const ended = once(child, "exit").then(([code, signal]) => (code ?? signal) as number | string);
  let isExpected = false;
  void ended.then((how) => {
    if (!isExpected) console.error(`the server ended by itself with ${how}:\n${log.slice(-30).join("\n")}`);
  });
  const end = async (signal: NodeJS.Signals) => {
    isExpected = true;
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    return ended;
  };
  return {
    url,
    pid: child.pid as number,
    instance,
    log,
    memoryBytes: async () => {
      const status = await readFile(`/proc/${child.pid}/status`, "utf8");
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
    },
    end,
    [Symbol.asyncDispose]: async () => void (await end("SIGKILL")),
  };
}

function listening(child: ChildProcess, log: string[]): Promise<{ readonly url: string; readonly instance: string }> {
  return new Promise((done, fail) => {
    const timer = setTimeout(
      () => fail(new Error(`no server after ${START_LIMIT_MS} ms:\n${log.join("\n")}`)),
      START_LIMIT_MS,
    );
    child.once("exit", (code, signal) => fail(new Error(`server ended with ${code ?? signal}:\n${log.join("\n")}`)));
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on("line", (line) => {
        log.push(line);
        const said = line.startsWith("{") ? (JSON.parse(line) as { [key: string]: string | undefined }) : {};
        if (said.msg !== "listening" || said.address === undefined || said.instance === undefined) return;
        clearTimeout(timer);
        done({ url: said.address, instance: said.instance });
      });
    }
  });
}
