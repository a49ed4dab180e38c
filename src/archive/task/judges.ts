/** Which commands judge a task: `tests/*.sh`, else `checks.txt`, else `fail_to_pass` then `pass_to_pass`. */
import { limits } from "../../kernel/limits.ts";
import { shown } from "../refusal.ts";
import type { JudgeCommand, TaskSpec } from "../submission.ts";
import type { TestEntry } from "./test-files.ts";
import type { Workspace } from "./workspace.ts";

export interface JudgeSources {
  readonly scripts: readonly TestEntry[];
  readonly checks: Buffer | undefined;
  readonly workspace: Workspace;
  readonly workingDir: string;
}

type Judges = Pick<TaskSpec, "judges" | "judgedBy">;

const natural = new Intl.Collator("en", { numeric: true });
const byName = (a: string, b: string) => natural.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);

/** @returns the judging commands in the order in which they run, or why one is refused */
export function judgesOf(sources: JudgeSources): Judges | { readonly problem: string } {
  const { workspace, workingDir } = sources;
  const scripts = sources.scripts.toSorted((a, b) => byName(a.path, b.path));
  const judges: JudgeCommand[] = [];
  for (const { path, bytes } of scripts) {
    const script = textOf(bytes);
    if (script === undefined || bytes.length > limits.commandBytesMax) {
      return { problem: `tests/${path.slice(0, 80)} is not UTF-8 text of at most ${limits.commandBytesMax} bytes` };
    }
    // A script without any command exits 0 and would pass whatever the agent did.
    if (hasCommand(script)) judges.push({ name: path.replace(/\.sh$/, ""), script, workingDir });
  }
  if (judges.length > 0) return bounded({ judges, judgedBy: "tests" });
  const checks = sources.checks === undefined ? "" : textOf(sources.checks);
  if (checks === undefined) return { problem: "checks.txt is not UTF-8 text" };
  const lines = checks.split(/\r?\n/).filter(hasCommand);
  const tooLong = lines.find((line) => Buffer.byteLength(line) > limits.commandBytesMax);
  if (tooLong !== undefined)
    return { problem: `checks.txt has a command above ${limits.commandBytesMax} bytes: ${shown(tooLong)}` };
  if (lines.length > 0) return bounded({ judges: numbered("check", lines, workingDir), judgedBy: "checks" });
  const lists = [
    ...numbered("fail_to_pass", workspace.failToPass.filter(hasCommand), workingDir),
    ...numbered("pass_to_pass", workspace.passToPass.filter(hasCommand), workingDir),
  ];
  return bounded({ judges: lists, judgedBy: lists.length > 0 ? "lists" : "none" });
}

function bounded(found: Judges): Judges | { readonly problem: string } {
  if (found.judges.length <= limits.commandsMax) return found;
  return { problem: `has ${found.judges.length} judging commands; at most ${limits.commandsMax} are allowed` };
}

function numbered(prefix: string, lines: readonly string[], workingDir: string): JudgeCommand[] {
  return lines.map((script, index) => ({ name: `${prefix}_${index + 1}`, script, workingDir }));
}

function hasCommand(script: string): boolean {
  return script.split("\n").some((line) => /^\s*[^\s#]/.test(line));
}

/** The bytes as UTF-8 without a byte order mark, which bash would take for part of the first command. */
function textOf(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
