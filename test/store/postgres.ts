/** A throwaway PostgreSQL server for integration tests: its own folder, loopback port, gone when stopped. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";

export interface TestServer {
  /** URL of a fresh, empty database on this server */
  createDatabase(): Promise<string>;
  /** Ends the server at once, as a power failure would. */
  crash(): Promise<void>;
  /** Starts it again on the same folder and port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Folder of `initdb` and `postgres`, or undefined where PostgreSQL is not installed. */
export function findPostgres(): string | undefined {
  const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql") : [];
  const newestFirst = versions.sort((a, b) => Number(b) - Number(a)).map((each) => `/usr/lib/postgresql/${each}/bin`);
  const folders = [...(process.env.PATH ?? "").split(":"), ...newestFirst];
  return folders.find((folder) => existsSync(join(folder, "initdb")) && existsSync(join(folder, "postgres")));
}

/** Why PostgreSQL tests can't run here; undefined where they can. Say it by name in the skipped suite. */
export function whyNoPostgres(): string | undefined {
  if (process.env.TEST_DATABASE_URL !== undefined || findPostgres() !== undefined) return undefined;
  return "no PostgreSQL (initdb, postgres) on this machine and no TEST_DATABASE_URL";
}

/** TEST_DATABASE_URL names a server whose user may create databases; else one is started here. */
export async function startPostgres(): Promise<TestServer> {
  const given = process.env.TEST_DATABASE_URL;
  if (given !== undefined) {
    const unsupported = async () => {
      throw new Error("a server given by TEST_DATABASE_URL is not crashed");
    };
    const createDatabase = () => createDatabaseAt(given);
    return { createDatabase, crash: unsupported, restart: unsupported, stop: async () => {} };
  }
  const bin = findPostgres();
  if (bin === undefined) throw new Error(whyNoPostgres());
  const root = mkdtempSync(join(tmpdir(), "proctor-pg-"));
  // PostgreSQL refuses to run as root.
  const user = process.getuid?.() === 0 ? idsOf("postgres") : {};
  if (user.uid !== undefined && user.gid !== undefined) chownSync(root, user.uid, user.gid);
  const data = join(root, "data");
  const port = await freePort();
  execFileSync(join(bin, "initdb"), ["-D", data, "-A", "trust", "-U", "proctor", "--no-sync", "-E", "UTF8"], {
    ...user,
    cwd: root,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const url = `postgresql://proctor@127.0.0.1:${port}/postgres`;
  const args = ["-D", data, "-k", root, "-c", "listen_addresses=127.0.0.1", "-p", String(port)];

  let child: ChildProcess | undefined;
  const start = async () => {
    child = spawn(join(bin, "postgres"), args, { ...user, cwd: root, stdio: "ignore" });
    await answers(url, child);
  };
  const end = async (signal: NodeJS.Signals) => {
    const ending = child;
    child = undefined;
    if (ending === undefined || ending.exitCode !== null) return;
    const gone = once(ending, "exit");
    ending.kill(signal);
    await gone;
  };
  await start();
  return {
    createDatabase: () => createDatabaseAt(url),
    crash: () => end("SIGQUIT"),
    restart: start,
    async stop() {
      await end("SIGINT");
      rmSync(root, { recursive: true, force: true });
    },
  };
}

async function createDatabaseAt(url: string): Promise<string> {
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`create database ${name}`);
  await client.end();
  const own = new URL(url);
  own.pathname = `/${name}`;
  return own.toString();
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error(`postgres ended with ${child.exitCode}`);
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await sleep(50);
    }
  }
  throw new Error("postgres did not answer within 10 s");
}

function idsOf(user: string): { uid?: number; gid?: number } {
  const id = (flag: string) => Number(execFileSync("id", [flag, user], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
