import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readTally } from "../../src/setup/run-tests.ts";

const folder = mkdtempSync(join(tmpdir(), "proctor-tally-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const suite = (status: string, ...tests: [string, string][]) => ({
  name: "/somewhere/a.test.ts",
  status,
  assertionResults: tests.map(([fullName, testStatus]) => ({ fullName, status: testStatus })),
});

test.for([
  {
    why: "all kinds",
    suites: [suite("failed", ["a", "passed"], ["b", "failed"], ["c", "skipped"], ["d", "pending"])],
    tally: [1, 1, 2],
  },
  { why: "a file that could not be loaded has no tests and fails", suites: [suite("failed")], tally: [0, 1, 0] },
  { why: "a hook that failed after the tests passed", suites: [suite("failed", ["a", "passed"])], tally: [1, 1, 0] },
  { why: "nothing", suites: [], tally: [0, 0, 0] },
])("counts: $why", ({ suites, tally }) => {
  const file = join(folder, "report.json");
  writeFileSync(file, JSON.stringify({ testResults: suites }));
  const { passed, failed, skipped } = readTally(file);
  expect([passed, failed, skipped.length]).toEqual(tally);
});

test("no report: nothing to count, and the stage's own ending is what says that it failed", () => {
  expect(readTally(join(folder, "absent.json"))).toEqual({ passed: 0, failed: 0, skipped: [] });
});
