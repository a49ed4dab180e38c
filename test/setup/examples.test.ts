/** The examples guard themselves: the same commit everywhere, tasks that say so, a solver that writes the reference patch. */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as yaml from "yaml";
import { packArchive } from "../../src/archive/pack.ts";
import {
  type ExampleRepository,
  exampleAgents,
  exampleOwner,
  examplePaths,
  loadExpected,
  materialiseRepositories,
  repositoryTemplate,
  stageSubmission,
} from "../../src/setup/examples.ts";

const scratch = mkdtempSync(join(tmpdir(), "proctor-examples-"));
let repositories: readonly ExampleRepository[] = [];

beforeAll(async () => {
  repositories = await materialiseRepositories(join(scratch, "repositories"));
}, 60_000);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const git = (cwd: string, ...args: string[]) =>
  execFileSync("git", ["-c", "safe.directory=*", ...args], { cwd, encoding: "utf8" });
const taskFolders = readdirSync(join(examplePaths.tasks, exampleOwner)).sort();

interface Workspace {
  readonly id: string;
  readonly repo: string;
  readonly base_commit: string;
  readonly patch: string;
  readonly prompt: string;
  readonly fail_to_pass: readonly string[];
  readonly pass_to_pass: readonly string[];
  readonly meta: { readonly test_files: string };
}

function workspaceOf(folder: string): Workspace {
  return yaml.parse(
    readFileSync(join(examplePaths.tasks, exampleOwner, folder, "workspace.yaml"), "utf8"),
  ) as Workspace;
}

test("the solver's and the noop's verdicts are expected for every task, and for no other", () => {
  const ids = taskFolders.map((folder) => `${exampleOwner}/${folder}`);
  for (const agent of exampleAgents) expect(Object.keys(loadExpected()[agent] ?? {}).sort(), agent).toEqual(ids);
});

test("every repository has a task", () => {
  expect(taskFolders.map((folder) => workspaceOf(folder).repo).sort()).toEqual(
    repositories.map(({ name }) => `${exampleOwner}/${name}`).sort(),
  );
});

describe.for(taskFolders)("task %s", (folder) => {
  const workspace = workspaceOf(folder);
  const folderPath = join(examplePaths.tasks, exampleOwner, folder);
  const repository = () => {
    const found = repositories.find(({ name }) => `${exampleOwner}/${name}` === workspace.repo);
    if (found === undefined) throw new Error(`no repository ${workspace.repo}`);
    return found;
  };

  test("names the commit that its repository has everywhere", () => {
    expect(workspace.base_commit).toBe(repository().commit);
    expect(git(repository().path, "rev-parse", "HEAD").trim()).toBe(workspace.base_commit);
    expect(git(repository().path, "status", "--porcelain")).toBe("");
  });

  test("says the same in its YAML as in the files beside it", () => {
    expect(workspace.prompt).toBe(readFileSync(join(folderPath, "prompt.md"), "utf8"));
    const checks = readFileSync(join(folderPath, "checks.txt"), "utf8").trim().split("\n");
    expect(checks).toEqual([...workspace.fail_to_pass, ...workspace.pass_to_pass]);
    const testFiles = JSON.parse(workspace.meta.test_files) as { path: string; content: string }[];
    for (const { path, content } of testFiles) {
      const name = path.split("/").at(-1) ?? "";
      expect(readFileSync(join(folderPath, "tests", name), "utf8"), name).toBe(content);
    }
  });

  test("is solved by the solver with exactly the reference patch", () => {
    const work = join(scratch, `solved-${folder}`);
    cpSync(repository().path, work, { recursive: true });
    // The agent runs as it does in a sandbox: alone in its folder, without our package.json above it.
    const agent = join(scratch, "agent.js");
    copyFileSync(join(examplePaths.agents, "solver/agent.js"), agent);
    const output = execFileSync(process.execPath, [agent], {
      env: { REPO_DIR: work, TASK_PROMPT: join(folderPath, "prompt.md") },
      encoding: "utf8",
    });
    expect(output).toContain("solver: done");
    const wanted = join(scratch, `wanted-${folder}`);
    cpSync(repository().path, wanted, { recursive: true });
    execFileSync("git", ["apply", "-"], { cwd: wanted, input: workspace.patch });
    expect(git(work, "diff")).toBe(git(wanted, "diff"));
    expect(git(work, "diff")).not.toBe("");
  });
});

test("neither umask nor the modes of the checkout change a commit", async () => {
  const again = await materialiseRepositories(join(scratch, "again"));
  expect(again.map(({ commit }) => commit)).toEqual(repositories.map(({ commit }) => commit));
  const umask = process.umask(0o077);
  try {
    const strict = await materialiseRepositories(join(scratch, "strict"));
    expect(strict.map(({ commit }) => commit)).toEqual(repositories.map(({ commit }) => commit));
  } finally {
    process.umask(umask);
  }
});

test("a repository that is there is kept, one of another commit is made again", async () => {
  const target = join(scratch, "kept");
  const [first] = await materialiseRepositories(target);
  if (first === undefined) throw new Error("no repository");
  const marker = join(first.path, ".git/marker");
  copyFileSync(join(first.path, ".git/HEAD"), marker);
  await materialiseRepositories(target);
  expect(readFileSync(marker, "utf8")).toContain("refs/heads/main");
  chmodSync(join(first.path, ".git/refs/heads/main"), 0o644);
  execFileSync("git", ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "x"], {
    cwd: first.path,
  });
  const [healed] = await materialiseRepositories(target);
  expect(git(first.path, "rev-parse", "HEAD").trim()).toBe(healed?.commit);
  expect(() => readFileSync(marker)).toThrow();
});

test("the archive of each agent reads as the server will read it, and differs from run to run", async () => {
  const rules = { template: repositoryTemplate("/srv/git"), hosts: ["github.com"] };
  for (const agent of exampleAgents) {
    const digests = new Set<string>();
    for (const run of ["one", "two"]) {
      const staged = join(scratch, `staged-${agent}`);
      stageSubmission(agent, staged, run);
      const packed = await packArchive(staged, join(scratch, `${agent}.zip`), { format: "zip", rules });
      digests.add(packed.digest);
      expect(packed.submission.tasks.map(({ taskId }) => taskId).sort()).toEqual(
        taskFolders.map((folder) => `${exampleOwner}/${folder}`),
      );
      for (const task of packed.submission.tasks) {
        expect(task.judges.map(({ name }) => name)).toEqual(["fail_to_pass_1", "pass_to_pass_1"]);
        expect(task.testFiles).toHaveLength(1);
      }
    }
    expect(digests.size).toBe(2);
  }
});
