/** What an archive holds once it was read: plain data that a worker on another machine could be handed. */
import type { Digest, TaskId } from "../kernel/ids.ts";

/** A file that goes into a sandbox with the hidden tests. */
export interface TestFile {
  /** place below /repo, normalised: no leading slash, no `.` or `..` */
  readonly path: string;
  readonly content: string;
  readonly encoding: "utf8" | "base64";
  readonly executable: boolean;
}

/** One judging command, run by bash in /repo. */
export interface JudgeCommand {
  /** unique in its task, e.g. `fail_to_pass_1` */
  readonly name: string;
  /** text of the script or the command line; run as `bash <file>`, never through an argument */
  readonly script: string;
  /** folder below /repo, `.` for the root */
  readonly workingDir: string;
}

export interface TaskSpec {
  readonly taskId: TaskId;
  /** clone URL as REPO_URL_TEMPLATE made it, checked against the allowed hosts */
  readonly repoUrl: string;
  /** what the archive said, e.g. `owner/name`; goes to TERM_REPO */
  readonly repo: string;
  /** 40 lower-case hex digits; absent: head of the default branch */
  readonly baseCommit?: string;
  readonly prompt: string;
  readonly language?: string;
  readonly difficulty?: string;
  /** install commands, each run by bash as root in `installDir` */
  readonly install: readonly string[];
  /** folder below /repo, `.` for the root */
  readonly installDir: string;
  /** wishes like `{python: "3.11"}` */
  readonly toolVersions: Readonly<Record<string, string>>;
  readonly judges: readonly JudgeCommand[];
  readonly testFiles: readonly TestFile[];
  /** reference solution, a diff: never shown to the agent, never in a response */
  readonly referencePatch?: string;
  /** `tests`: scripts under tests/ · `checks`: checks.txt · `lists`: fail_to_pass and pass_to_pass · `none` */
  readonly judgedBy: "tests" | "checks" | "lists" | "none";
}

export type AgentLanguage = "python" | "javascript" | "typescript" | "go" | "ruby" | "shell";

export interface AgentSpec {
  /** SHA-256 of the normalised tar of the agent's files; its blob holds that tar */
  readonly digest: Digest;
  readonly language: AgentLanguage;
  /** entry file relative to the agent's folder */
  readonly entry: string;
  /** dependency files found beside the entry */
  readonly requirements: readonly ("requirements.txt" | "package.json")[];
  readonly sizeBytes: number;
}

export interface Submission {
  readonly archiveDigest: Digest;
  readonly tasks: readonly TaskSpec[];
  readonly agent: AgentSpec;
}
