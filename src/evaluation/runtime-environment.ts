/** The environment variables of everything that runs in a strict sandbox: written here whole, nothing is inherited. */

import { cutText } from "./captured.ts";
import { PATH, places } from "./places.ts";
import type { AttemptInput } from "./port.ts";

/** The kernel's MAX_ARG_STRLEN: one argument or variable, its ending NUL included, bytes. */
const ARGUMENT_BYTES_MAX = 128 * 1024;

const cache = "/tmp/.cache";

/** HOME is where install put things, and is read-only: whatever a tool must write goes below /tmp. */
export const runtimeEnvironment: Readonly<Record<string, string>> = {
  PATH,
  HOME: places.home,
  LANG: "C.UTF-8",
  TERM: "dumb",
  TMPDIR: "/tmp",
  XDG_CACHE_HOME: cache,
  XDG_STATE_HOME: "/tmp/.state",
  PIP_CACHE_DIR: `${cache}/pip`,
  PIP_DISABLE_PIP_VERSION_CHECK: "1",
  PYTHONDONTWRITEBYTECODE: "1",
  PYTHONUNBUFFERED: "1",
  npm_config_cache: `${cache}/npm`,
  npm_config_update_notifier: "false",
  YARN_CACHE_FOLDER: `${cache}/yarn`,
  GOCACHE: `${cache}/go-build`,
  GOFLAGS: "-buildvcs=false",
  GOTOOLCHAIN: "local",
  GIT_TERMINAL_PROMPT: "0",
};

/** What an agent is told of its task beside the prompt file. */
export function agentEnvironment(
  input: AttemptInput,
  baseCommit: string,
  timeoutMs: number,
): Readonly<Record<string, string>> {
  const { task } = input;
  const told = {
    TASK_PROMPT: places.prompt,
    REPO_DIR: places.repo,
    TERM_TASK_ID: task.taskId,
    TERM_REPO: task.repo,
    TERM_BASE_COMMIT: baseCommit,
    TERM_ISSUE_TEXT: task.prompt,
    TERM_TIMEOUT: String(Math.floor(timeoutMs / 1_000)),
    TERM_DIFFICULTY: task.difficulty ?? "",
  };
  const identity = {
    GIT_AUTHOR_NAME: "agent",
    GIT_AUTHOR_EMAIL: "agent@localhost",
    GIT_COMMITTER_NAME: "agent",
    GIT_COMMITTER_EMAIL: "agent@localhost",
  };
  const cut = Object.entries(told).map(([name, value]) => [name, fitVariable(name, value)] as const);
  return { ...runtimeEnvironment, ...identity, ...Object.fromEntries(cut) };
}

/** The longest beginning of `text` that the kernel takes as one argument. A NUL would end it, so none is passed. */
export function fitArgument(text: string): string {
  return cutText(text.replaceAll("\0", ""), ARGUMENT_BYTES_MAX - 1);
}

function fitVariable(name: string, value: string): string {
  return cutText(value.replaceAll("\0", ""), ARGUMENT_BYTES_MAX - Buffer.byteLength(name) - 2);
}
