/** A received archive → Submission: read once, every task parsed, the agent packed. Nothing is kept when it is refused. */
import type { Clock } from "../kernel/clock.ts";
import type { Digest } from "../kernel/ids.ts";
import { limits } from "../kernel/limits.ts";
import { type PackedAgent, packAgent } from "./agent.ts";
import { Collector } from "./collect.ts";
import { readArchive } from "./read-archive.ts";
import { refusal, shown } from "./refusal.ts";
import { openSpool } from "./spool.ts";
import type { Submission, TaskSpec } from "./submission.ts";
import type { RepoRules } from "./task/repo-url.ts";
import { parseTask, type TaskFolder } from "./task/task.ts";

export interface ReadSubmissionOptions {
  readonly rules: RepoRules;
  /** WORKSPACE_BASE, for the agent's files while they are packed */
  readonly folder: string;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** Disposing removes the agent's tar from the spool, unless it was adopted. */
export interface ReadSubmission extends AsyncDisposable {
  readonly submission: Submission;
  readonly agent: PackedAgent;
}

/**
 * @param archive path and digest of the file; only read
 * @throws AppError `extraction_failed` with `details.reason`, `disk_full`; the signal's reason
 */
export async function readSubmission(
  archive: { readonly path: string; readonly digest: Digest },
  options: ReadSubmissionOptions,
): Promise<ReadSubmission> {
  await using spool = await openSpool(options.folder);
  const collector = new Collector(spool);
  const { clock, signal } = options;
  const take = (file: Parameters<Collector["take"]>[0]) => collector.take(file);
  await readArchive(archive.path, take, signal === undefined ? { clock } : { clock, signal });
  const { folders, agent: files } = collector.finish();
  const tasks = await parseTasks(folders, options);
  const agent = await packAgent(files, spool.handle, options.folder, signal);
  return {
    submission: { archiveDigest: archive.digest, tasks, agent: agent.spec },
    agent,
    [Symbol.asyncDispose]: () => agent[Symbol.asyncDispose](),
  };
}

async function parseTasks(folders: readonly TaskFolder[], options: ReadSubmissionOptions): Promise<TaskSpec[]> {
  const tasks = new Map<string, TaskSpec>();
  let commandBytes = 0;
  for (const folder of folders) {
    options.signal?.throwIfAborted();
    const task = parseTask(folder, options.rules);
    if (tasks.has(task.taskId)) throw refusal(`task id ${shown(task.taskId)} is used twice`);
    tasks.set(task.taskId, task);
    commandBytes += task.judges.reduce((sum, judge) => sum + judge.script.length, 0);
    if (commandBytes > limits.tasksBytesMax)
      throw refusal(`the judging commands take more than ${limits.tasksBytesMax} bytes`);
    // Other requests get their turn between two tasks.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return [...tasks.values()];
}
