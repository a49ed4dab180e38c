/**
 * `npm test`: set-up, type check, lint, then unit, integration and end-to-end tests, each to its end whatever the one
 * before said. The last line is plain: `N passed, N failed, N skipped`. An engine that this run started is ended by it.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { CliError } from "../cli/errors.ts";
import { systemClock } from "../kernel/clock.ts";
import { run } from "./child.ts";
import { stopOurEngine } from "./engine.ts";
import { packageRoot, paths } from "./paths.ts";
import type { Report } from "./report.ts";
import { setUp } from "./setup.ts";

const MINUTE_MS = 60_000;

interface Stage {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly timeoutMs: number;
  /** file of vitest's JSON report */
  readonly report?: string;
}

const vitest = (project: string, timeoutMs: number): Stage => {
  const report = join(paths.testReports, `${project}.json`);
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  return {
    name: `${project} tests`,
    program: "vitest/vitest.mjs",
    args: ["run", "--project", project, "--passWithNoTests", ...reporters],
    timeoutMs,
    report,
  };
};

const stages: readonly Stage[] = [
  { name: "type check", program: "typescript/bin/tsc", args: ["--noEmit"], timeoutMs: 5 * MINUTE_MS },
  {
    name: "lint",
    program: "@biomejs/biome/bin/biome",
    args: ["check", "--error-on-warnings", "."],
    timeoutMs: 5 * MINUTE_MS,
  },
  vitest("unit", 15 * MINUTE_MS),
  vitest("integration", 40 * MINUTE_MS),
  vitest("e2e", 40 * MINUTE_MS),
];

/** What came of a stage. A check without single tests counts as a failed one where it fails, and not at all otherwise. */
export interface Tally {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly string[];
}

/** Runs everything. @throws CliError `negative` where anything failed, `missing` from set-up */
export async function runTests(report: Report, signal: AbortSignal): Promise<void> {
  let stopEngine = false;
  try {
    stopEngine = (await setUp(report, "test", signal)).startedNow;
    rmSync(paths.testReports, { recursive: true, force: true });
    mkdirSync(paths.testReports, { recursive: true });
    const tallies: Tally[] = [];
    const summary: string[] = [];
    for (const stage of stages) {
      report.line(`\n── ${stage.name}`);
      const beganMs = systemClock.monotonicMs();
      const tally = await runStage(stage, signal);
      tallies.push(tally);
      const seconds = ((systemClock.monotonicMs() - beganMs) / 1000).toFixed(1);
      summary.push(
        `  ${tally.failed === 0 ? "✓" : "✗"} ${stage.name.padEnd(18)} ${counts(tally, stage)} (${seconds} s)`,
      );
    }
    const skipped = tallies.flatMap((tally) => tally.skipped);
    report.line(`\n${summary.join("\n")}`);
    if (skipped.length > 0) report.line(`skipped:\n${skipped.map((name) => `  ${name}`).join("\n")}`);
    const sum = (of: (tally: Tally) => number) => tallies.reduce((total, tally) => total + of(tally), 0);
    const failed = sum((tally) => tally.failed);
    process.stdout.write(`${sum((tally) => tally.passed)} passed, ${failed} failed, ${skipped.length} skipped\n`);
    if (failed > 0) process.exitCode = 1;
  } finally {
    if (stopEngine) await stopOurEngine();
  }
}

function counts(tally: Tally, stage: Stage): string {
  if (stage.report === undefined) return tally.failed === 0 ? "clean" : "failed";
  return `${tally.passed} passed, ${tally.failed} failed, ${tally.skipped.length} skipped`;
}

async function runStage(stage: Stage, signal: AbortSignal): Promise<Tally> {
  const program = join(packageRoot, "node_modules", stage.program);
  let isClean = false;
  try {
    const ended = await run(process.execPath, [program, ...stage.args], {
      cwd: packageRoot,
      timeoutMs: stage.timeoutMs,
      inherit: true,
      signal,
    });
    isClean = ended.exitCode === 0;
  } catch (error) {
    if (signal.aborted) throw new CliError("interrupted", "the tests were interrupted");
    process.stderr.write(`${stage.name}: ${(error as Error).message}\n`);
  }
  const tally = stage.report === undefined ? noTally : readTally(stage.report);
  // A runner that fails without naming a test (a report that is absent, an error outside of tests) is a failure too.
  return isClean || tally.failed > 0 ? tally : { ...tally, failed: 1 };
}

const noTally: Tally = { passed: 0, failed: 0, skipped: [] };

const vitestReport = v.looseObject({
  testResults: v.array(
    v.looseObject({
      name: v.string(),
      status: v.string(),
      assertionResults: v.array(v.looseObject({ fullName: v.string(), status: v.string() })),
    }),
  ),
});

/** Sums up vitest's JSON report; a file that could not even be loaded counts as one failed test. */
export function readTally(file: string): Tally {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return noTally; // the stage's own ending says that it failed
  }
  const report = v.parse(vitestReport, JSON.parse(text));
  let passed = 0;
  let failed = 0;
  const skipped: string[] = [];
  for (const suite of report.testResults) {
    if (suite.status === "failed" && suite.assertionResults.every(({ status }) => status !== "failed")) failed++;
    for (const test of suite.assertionResults) {
      if (test.status === "passed") passed++;
      else if (test.status === "failed") failed++;
      else skipped.push(`${suite.name.replace(`${packageRoot}/`, "")}: ${test.fullName}`);
    }
  }
  return { passed, failed, skipped };
}
