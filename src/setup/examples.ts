/**
 * The examples: four small repositories with a real defect each, their tasks, and agents. The repositories are kept as
 * plain files and become git repositories whose one commit has the same id on every machine: fixed author, dates, modes
 * and message, and no configuration of the host is read. A task's `base_commit` is that id.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import * as v from "valibot";
import { CliError } from "../cli/errors.ts";
import { reasons, verdicts } from "../kernel/outcome.ts";
import { paths } from "./paths.ts";

/** The `owner` that the examples' `repo: owner/name` have. */
export const exampleOwner = "example";
const GIT_TIMEOUT_MS = 30_000;

export const examplePaths = {
  tasks: join(paths.examples, "tasks"),
  agents: join(paths.examples, "agents"),
  repositories: join(paths.examples, "repositories"),
  expected: join(paths.examples, "expected.json"),
} as const;

export const exampleAgents = ["solver", "noop", "hang", "flood"] as const;
export type ExampleAgent = (typeof exampleAgents)[number];

export interface ExampleRepository {
  readonly name: string;
  /** the git repository, as REPO_URL_TEMPLATE's `file://` path names it */
  readonly path: string;
  /** 40 hex digits; what the task's `base_commit` says */
  readonly commit: string;
}

/**
 * Makes every example repository below `targetDir` as `{owner}+{name}/repo`; one that is there already is kept.
 * @throws CliError `missing` where there is no git
 */
export async function materialiseRepositories(targetDir: string): Promise<readonly ExampleRepository[]> {
  const names = readdirSync(examplePaths.repositories).sort();
  return Promise.all(names.map((name) => materialise(name, targetDir)));
}

/** The template under which a server finds what `materialiseRepositories(targetDir)` made. */
export function repositoryTemplate(targetDir: string): string {
  return `file://${targetDir}/{owner}+{name}/repo`;
}

async function materialise(name: string, targetDir: string): Promise<ExampleRepository> {
  const folder = join(targetDir, `${exampleOwner}+${name}`);
  const fresh = join(targetDir, `.${name}.${randomUUID()}`);
  mkdirSync(fresh, { recursive: true });
  try {
    const work = join(fresh, "repo");
    cpSync(join(examplePaths.repositories, name), work, { recursive: true });
    fixModes(work);
    const git = (...args: string[]) => runGit(work, args);
    await git("init", "-q", "--template=", "--initial-branch=main");
    await git("add", "--all", "--force");
    await git("commit", "-q", "--no-verify", "--message", `${name}: as it was found`);
    // A fetch of one commit by its id is how a task is cloned.
    await git("config", "uploadpack.allowAnySHA1InWant", "true");
    const commit = (await git("rev-parse", "HEAD")).trim();
    const path = join(folder, "repo");
    if (existsSync(path) && (await runGit(path, ["rev-parse", "HEAD"]).catch(() => "")).trim() === commit) {
      return { name, path, commit };
    }
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
    return { name, path, commit };
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** Modes must not depend on the umask of whoever checked us out: what begins with `#!` is executable, the rest is not. */
function fixModes(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    const path = join(folder, entry);
    const isScript = statSync(path).isDirectory() || readFileSync(path).subarray(0, 2).toString() === "#!";
    chmodSync(path, isScript ? 0o755 : 0o644);
  }
}

async function runGit(cwd: string, args: readonly string[]): Promise<string> {
  const identity = { name: "Proctor examples", email: "examples@proctor.invalid", date: "2026-01-01T00:00:00Z" };
  const settings = {
    "core.fileMode": "true",
    "core.autocrlf": "false",
    "commit.gpgSign": "false",
    "safe.directory": "*",
  };
  const environment: Record<string, string> = {
    PATH: process.env.PATH ?? "/usr/bin:/bin",
    LC_ALL: "C",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_COUNT: String(Object.keys(settings).length),
  };
  for (const role of ["AUTHOR", "COMMITTER"]) {
    environment[`GIT_${role}_NAME`] = identity.name;
    environment[`GIT_${role}_EMAIL`] = identity.email;
    environment[`GIT_${role}_DATE`] = identity.date;
  }
  Object.entries(settings).forEach(([key, value], index) => {
    environment[`GIT_CONFIG_KEY_${index}`] = key;
    environment[`GIT_CONFIG_VALUE_${index}`] = value;
  });
  try {
    const { stdout } = await promisify(execFile)("git", args, { cwd, env: environment, timeout: GIT_TIMEOUT_MS });
    return stdout;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new CliError(
        "missing",
        "the examples need git, which is not on PATH",
        'run "sudo apt-get install -y git" and run this again',
      );
    }
    throw error;
  }
}

const expectedSchema = v.record(
  v.picklist(exampleAgents),
  v.record(
    v.string(),
    v.object({ verdict: v.picklist(verdicts), reason: v.nullable(v.picklist(reasons)), reward: v.number() }),
  ),
);
export type Expected = v.InferOutput<typeof expectedSchema>;

/** What each example agent gets for each task, by task id. */
export function loadExpected(): Expected {
  return v.parse(expectedSchema, JSON.parse(readFileSync(examplePaths.expected, "utf8")));
}

/**
 * Lays out what an archive is packed from: the example tasks, one agent, and a file that makes the archive a new one,
 * so that each run is evaluated afresh instead of joining the batch of the last.
 */
export function stageSubmission(agent: ExampleAgent, targetDir: string, runId: string): void {
  rmSync(targetDir, { recursive: true, force: true });
  mkdirSync(targetDir, { recursive: true });
  cpSync(examplePaths.tasks, join(targetDir, "tasks"), { recursive: true });
  cpSync(join(examplePaths.agents, agent), join(targetDir, "agent_code"), { recursive: true });
  // Beside the task folders: it belongs to no task, so that kept environments stay valid.
  writeFileSync(join(targetDir, "tasks/run-id.txt"), `${runId}\n`);
}
