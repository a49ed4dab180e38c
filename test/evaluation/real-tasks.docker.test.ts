/**
 * Real tasks on local copies of their real repositories: the reference solution gets reward 1, doing nothing gets 0.
 * Needs ../shared/tasks beside the checkout, PROCTOR_TEST_MIRRORS (a folder of `{owner}+{name}/repo` git directories) and
 * package registries; what is absent is named in the title of the skipped test.
 */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TaskSpec } from "../../src/archive/submission.ts";
import { parseTask } from "../../src/archive/task/task.ts";
import { Bench } from "./bench.ts";

const tasksFolder = resolve(import.meta.dirname, "../../../shared/tasks");
const mirrors = process.env.PROCTOR_TEST_MIRRORS ?? "";
const systemBundle = "/etc/ssl/certs/ca-certificates.crt";

const tasks = [
  "noi-techpark/opendatahub-gtfs-api-3",
  "bfansports/aws-api-lambda-boilerplate-2",
  // Its install can't finish without dbt's package hub; the task is sound all the same.
  "Integrated-Disease-Monitoring-Kenya/dmi-etl-7",
];

async function readTask(path: string): Promise<TaskSpec> {
  const folder = join(tasksFolder, path);
  const read = (name: string) => readFile(join(folder, name));
  const names = await readdir(join(folder, "tests"));
  const tests = await Promise.all(
    names.map(async (name) => ({ path: name, bytes: await read(`tests/${name}`), executable: false })),
  );
  return parseTask(
    {
      path,
      yaml: await read("workspace.yaml"),
      prompt: await read("prompt.md"),
      checks: await read("checks.txt"),
      tests,
    },
    { template: `file://${mirrors}/{owner}+{name}/repo`, hosts: [] },
  );
}

/** What keeps a task from being tried here; empty: nothing. */
function missing(path: string): string {
  if (!existsSync(join(tasksFolder, path))) return "../shared/tasks is absent";
  if (mirrors === "") return "PROCTOR_TEST_MIRRORS is not set";
  const mirror = join(mirrors, path.replace(/-\d+$/, "").replace("/", "+"), "repo");
  return existsSync(mirror) ? "" : "its mirror is absent";
}

describe("real tasks", () => {
  let bench: Bench;
  beforeAll(async () => {
    const ca: Record<string, string> = existsSync(systemBundle) ? { EXTRA_CA_FILE: systemBundle } : {};
    bench = await Bench.open({ ...ca, TASK_MEMORY_MB: "2048", TASK_DISK_MB: "1024", TEST_TIMEOUT_SECS: "300" });
  });
  afterAll(async () => {
    await bench[Symbol.asyncDispose]();
  });

  for (const path of tasks) {
    const why = missing(path);
    it.skipIf(why !== "")(`${path}${why === "" ? "" : ` (skipped: ${why})`}`, { timeout: 900_000 }, async () => {
      const task = await readTask(path);
      const repository = { url: task.repoUrl, commit: task.baseCommit ?? "" };
      const solving = {
        "agent.sh": "git apply --whitespace=nowarn /agent/fix.patch && git status --short\n",
        "fix.patch": task.referencePatch ?? "",
      };
      const solved = await bench.evaluate(repository, solving, task);
      const idle = await bench.evaluate(repository, "true\n", task);
      for (const { result } of [solved, idle]) {
        const phases = result.phases.map(
          (phase) => `${phase.phase} ${phase.durationMs} ms${phase.cached ? " (kept)" : ""}`,
        );
        console.info(
          path,
          result.verdict,
          result.reward,
          phases.join(", "),
          result.notes,
          result.error,
          result.testOutput.text.slice(-600),
        );
      }
      expect([solved.result.verdict, solved.result.reward]).toEqual(["passed", 1]);
      expect([idle.result.verdict, idle.result.reward]).toEqual(["failed", 0]);
      expect(solved.result.agentPatch.text).toContain("diff --git");
      expect(idle.result.agentPatch.text).toBe("");
    });
  }
});
