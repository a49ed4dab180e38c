/**
 * The tests phase. The hidden tests arrive only now, and again before each judging command, so that what one command's
 * code did to them is gone when the next begins; so are its processes. They are compared with what was sent by digest
 * before and after each command; what differs afterwards was changed by the code under test. Commands run in order, all of them, unless one had
 * to be ended by a limit: then nothing that follows could make the task pass, and its time is not spent.
 */
import type { TaskSpec } from "../../archive/submission.ts";
import { AppError } from "../../kernel/errors.ts";
import { type CapturedText, emptyText, type Outcome, succeeded } from "../../kernel/outcome.ts";
import type { CommandResult, OutputListener, Sandbox, Usage } from "../../sandbox/port.ts";
import { concatenate } from "../captured.ts";
import { places } from "../places.ts";
import type { TestResult } from "../port.ts";
import { runtimeEnvironment } from "../runtime-environment.ts";
import type { EvaluationSettings } from "../settings.ts";
import { describeOutcome, putFiles, stepFailure } from "../steps.ts";
import type { OutgoingFile } from "../tar-of-ours.ts";
import { changedFiles, digestsOf, type ExpectedDigests } from "./hidden-digests.ts";
import { addUsage } from "./install.ts";
import { notesOf } from "./run-agent.ts";
import { applyToRepo, placeBelow } from "./workspace.ts";

export interface TestsRun {
  /** one entry a judging command; undefined: not run */
  readonly outcomes: readonly (Outcome | undefined)[];
  readonly results: readonly TestResult[];
  readonly output: CapturedText;
  readonly usage: Usage;
  readonly notes: readonly string[];
  /** hidden tests and judging commands that were not what was sent when a command had ended */
  readonly changed: readonly ChangedHidden[];
}

/** What one judging command's run did to the hidden tests. */
export interface ChangedHidden {
  /** of the judging command */
  readonly judge: string;
  /** below /repo, or absolute */
  readonly path: string;
}

export interface RunTestsOptions {
  readonly signal: AbortSignal;
  readonly onOutput: OutputListener;
  /** runs what follows a command that had to be ended as well */
  readonly runsAll?: boolean;
}

/** @throws AppError `sandbox_failed` where the hidden tests can't be brought whole */
export async function runTests(
  sandbox: Sandbox,
  task: TaskSpec,
  settings: EvaluationSettings,
  options: RunTestsOptions,
): Promise<TestsRun> {
  const hidden = hiddenFiles(task);
  const scripts = judgeScripts(task);
  const expected = new Map([...digestsOf(places.repo, hidden), ...digestsOf(places.task, scripts)]);
  const changed: ChangedHidden[] = [];
  const folders = task.judges.map((judge) => judge.workingDir);
  const ran: (CommandResult | undefined)[] = [];
  let isOver = false;
  for (const index of task.judges.keys()) {
    if (isOver) {
      ran.push(undefined);
      continue;
    }
    await applyToRepo(sandbox, "bring the hidden tests", "tests", { files: hidden, folders }, options.signal);
    await bringScripts(sandbox, scripts, options.signal);
    await mustBeWhole(sandbox, expected, options.signal);
    const result = await runJudge(sandbox, task, index, settings, options);
    await sandbox.endAll();
    ran.push(result);
    const judge = task.judges[index]?.name ?? "";
    for (const path of await changedFiles(sandbox, expected, options.signal)) changed.push({ judge, path });
    const wasEnded = result.outcome.kind !== "exited" && result.outcome.kind !== "signaled";
    isOver = wasEnded && options.runsAll !== true;
  }
  return { ...summarize(task, ran, settings.outputBytesMax), changed };
}

/** Nothing of the task runs between bringing and looking: what differs here is ours to answer for. */
async function mustBeWhole(sandbox: Sandbox, expected: ExpectedDigests, signal: AbortSignal): Promise<void> {
  const [first] = await changedFiles(sandbox, expected, signal);
  if (first === undefined) return;
  throw new AppError(
    "sandbox_failed",
    `hidden test ${JSON.stringify(first.slice(0, 200))} did not arrive as it was sent`,
  );
}

function runJudge(
  sandbox: Sandbox,
  task: TaskSpec,
  index: number,
  settings: EvaluationSettings,
  options: { readonly signal: AbortSignal; readonly onOutput: OutputListener },
): Promise<CommandResult> {
  return sandbox.run(
    {
      argv: ["bash", `${places.judges}/${index + 1}.sh`],
      user: "tests",
      cwd: placeBelow(places.repo, task.judges[index]?.workingDir ?? "."),
      env: runtimeEnvironment,
      timeoutMs: settings.testTimeoutMs,
      outputBytesMax: settings.outputBytesMax,
      floodBytesMax: settings.floodBytesMax,
    },
    options,
  );
}

async function bringScripts(sandbox: Sandbox, scripts: readonly OutgoingFile[], signal: AbortSignal): Promise<void> {
  const name = "bring the judging commands";
  const put = await putFiles(sandbox, { name, user: "tests", folder: places.task }, scripts, signal);
  if (!succeeded(put.outcome)) throw stepFailure(name, put.outcome, put.output);
}

function judgeScripts(task: TaskSpec): OutgoingFile[] {
  return task.judges.map((judge, index) => ({
    path: `judge/${index + 1}.sh`,
    kind: "executable",
    content: Buffer.from(judge.script.endsWith("\n") ? judge.script : `${judge.script}\n`),
  }));
}

/** The files that go into /repo with the hidden tests. */
export function hiddenFiles(task: TaskSpec): OutgoingFile[] {
  return task.testFiles.map((file) => ({
    path: file.path,
    kind: file.executable ? "executable" : "file",
    content: Buffer.from(file.content, file.encoding),
  }));
}

function summarize(
  task: TaskSpec,
  ran: readonly (CommandResult | undefined)[],
  outputBytesMax: number,
): Omit<TestsRun, "changed"> {
  const results = task.judges.map((judge, index) => testResult(judge.name, ran[index]));
  const parts = task.judges.map((judge, index) => ({
    header: `=== ${judge.name}: ${ran[index] === undefined ? "not run" : describeOutcome(ran[index].outcome)} ===`,
    text: ran[index]?.output ?? emptyText,
  }));
  return {
    outcomes: ran.map((result) => result?.outcome),
    results,
    output: concatenate(parts, outputBytesMax),
    usage: ran.reduce((sum, result) => addUsage(sum, result?.usage ?? { cpuMs: 0, memoryPeakBytes: 0 }), {
      cpuMs: 0,
      memoryPeakBytes: 0,
    }),
    notes: task.judges.flatMap((judge, index) => {
      const result = ran[index];
      return result === undefined ? [] : notesOf(judge.name, result);
    }),
  };
}

function testResult(name: string, result: CommandResult | undefined): TestResult {
  if (result === undefined) {
    return { name, passed: false, output: "Not run: a command before it had to be ended." };
  }
  const { outcome, output } = result;
  const exitCode = outcome.kind === "exited" ? { exitCode: outcome.exitCode } : {};
  return { name, passed: succeeded(outcome), output: output.text, ...exitCode };
}
