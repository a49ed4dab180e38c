/** One task folder of an archive → TaskSpec. */
import type { TaskId } from "../../kernel/ids.ts";
import { limits } from "../../kernel/limits.ts";
import { relativePlace } from "../entry-path.ts";
import { refusal, shown } from "../refusal.ts";
import type { TaskSpec } from "../submission.ts";
import { judgesOf } from "./judges.ts";
import { type RepoRules, repoUrl } from "./repo-url.ts";
import { sortTests, type TestEntry } from "./test-files.ts";
import { parseWorkspace, type Workspace } from "./workspace.ts";
import { parseYaml, YamlProblem, type YamlValue } from "./yaml.ts";

/** What an archive holds of one task, as bytes. */
export interface TaskFolder {
  /** below `tasks/`, its id where the YAML gives none; empty for `tasks/` itself */
  readonly path: string;
  readonly yaml: Buffer;
  readonly prompt: Buffer | undefined;
  readonly checks: Buffer | undefined;
  readonly tests: readonly TestEntry[];
}

/** @throws AppError `extraction_failed` naming the task and what to mend */
export function parseTask(folder: TaskFolder, rules: RepoRules): TaskSpec {
  const where = `task ${shown(folder.path === "" ? "tasks/" : folder.path)}`;
  const fail = (problem: string) => refusal(`${where}: ${problem}`);
  const workspace = workspaceOf(folder, fail);
  const taskId = taskIdOf(workspace.id ?? folder.path, fail);
  const repo = repoUrl(workspace.repo, rules);
  if ("problem" in repo) throw fail(repo.problem);
  const { baseCommit } = workspace;
  if (baseCommit !== undefined && !/^[0-9a-fA-F]{40}$/.test(baseCommit)) {
    throw fail(`base_commit ${shown(baseCommit)} is not 40 hex digits; name the commit in full`);
  }
  const tests = sortTests(folder.tests, workspace.listedFiles);
  if ("problem" in tests) throw fail(tests.problem);
  const workingDir = dirOf(workspace.testsDir, "tests.working_dir", fail);
  const judged = judgesOf({ scripts: tests.scripts, checks: folder.checks, workspace, workingDir });
  if ("problem" in judged) throw fail(judged.problem);
  return {
    taskId,
    repoUrl: repo.url,
    repo: workspace.repo,
    prompt: promptOf(folder, workspace, fail),
    install: workspace.install,
    installDir: dirOf(workspace.installDir, "install.working_dir", fail),
    toolVersions: workspace.toolVersions,
    judges: judged.judges,
    judgedBy: judged.judgedBy,
    testFiles: tests.files,
    ...(baseCommit === undefined ? {} : { baseCommit: baseCommit.toLowerCase() }),
    ...(workspace.language === undefined ? {} : { language: workspace.language }),
    ...(workspace.difficulty === undefined ? {} : { difficulty: workspace.difficulty }),
    ...(workspace.patch === undefined ? {} : { referencePatch: workspace.patch }),
  };
}

type Fail = (problem: string) => Error;

function workspaceOf(folder: TaskFolder, fail: Fail): Workspace {
  let value: YamlValue;
  try {
    value = parseYaml(folder.yaml);
  } catch (error) {
    if (error instanceof YamlProblem) throw fail(`workspace.yaml ${error.message}`);
    throw error;
  }
  const parsed = parseWorkspace(value);
  if ("problem" in parsed) throw fail(`workspace.yaml: ${parsed.problem}`);
  return parsed.workspace;
}

/** An id is data and never a path or an argument: any printable text, but nothing that hides or reorders. */
function taskIdOf(id: string, fail: Fail): TaskId {
  if (id === "") throw fail("has no id; add `id` to workspace.yaml");
  if ([...id].length > limits.taskIdCharsMax) throw fail(`id is longer than ${limits.taskIdCharsMax} characters`);
  if (!id.isWellFormed() || !/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$/u.test(id) || id.trim() !== id) {
    throw fail(`id ${shown(id)} has characters that can't be printed, or blanks at its ends`);
  }
  return id as TaskId;
}

function promptOf(folder: TaskFolder, workspace: Workspace, fail: Fail): string {
  if (folder.prompt === undefined) {
    if (workspace.prompt === undefined) throw fail("has no prompt; add prompt.md");
    return workspace.prompt;
  }
  const text = folder.prompt.toString("utf8");
  // The agent gets the prompt byte for byte, so it must survive being text.
  if (!Buffer.from(text, "utf8").equals(folder.prompt)) throw fail("prompt.md is not valid UTF-8");
  return text;
}

function dirOf(text: string | undefined, key: string, fail: Fail): string {
  if (text === undefined) return ".";
  const place = relativePlace(text.trim().replace(/^\/repo(?=\/|$)\/?/, "") || ".");
  if (place === undefined) throw fail(`${key} ${shown(text)} is not a folder below /repo`);
  return place;
}
