/** The path of an honest task on the real engine. Rows of THREATS.md are named in the tests. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bench, type Repository } from "./bench.ts";

let bench: Bench;
let greeter: Repository;

const judges = [
  { name: "fail_to_pass_1", script: "bash tests/greet_test.sh", workingDir: "." },
  { name: "pass_to_pass_1", script: "test -f README.md", workingDir: "." },
];
const testFiles = [
  {
    path: "tests/greet_test.sh",
    content: 'test "$(bash greet.sh)" = hello || { echo "wrong greeting" >&2; exit 1; }\n',
    encoding: "utf8" as const,
    executable: false,
  },
];
const task = { judges, testFiles };

beforeAll(async () => {
  bench = await Bench.open();
  greeter = await bench.repository({ "greet.sh": "echo helo\n", "README.md": "greets\n" });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

describe("an honest task", () => {
  it("X08: a right fix gets reward 1, with every phase recorded", async () => {
    const { result, reporter } = await bench.evaluate(greeter, "echo 'echo hello' > greet.sh; echo done\n", task);
    expect(result).toMatchObject({
      verdict: "passed",
      reason: null,
      reward: 1,
      error: null,
      agentExitCode: 0,
      notes: [],
    });
    expect(result.phases.map((phase) => phase.phase)).toEqual(["clone", "install", "agent", "tests"]);
    expect(result.tests).toEqual([
      { name: "fail_to_pass_1", passed: true, output: "", exitCode: 0 },
      { name: "pass_to_pass_1", passed: true, output: "", exitCode: 0 },
    ]);
    expect(result.agentOutput.text).toBe("done\n");
    expect(result.agentPatch.text).toContain("-echo helo\n+echo hello\n");
    expect(result.baseCommit).toBe(greeter.commit);
    expect(result.treeHash).toMatch(/^[0-9a-f]{40}$/);
    expect(result.environmentImage).toMatch(/^sha256:/);
    expect(reporter.phases).toEqual(
      ["clone", "install", "agent", "tests"].flatMap((p) => [`${p} started`, `${p} finished`]),
    );
    expect(reporter.logs).toContain("agent: done\n");
  });

  it("an agent that does nothing fails, from the kept environment", async () => {
    const { result, reporter } = await bench.evaluate(greeter, "true\n", task);
    expect(result).toMatchObject({ verdict: "failed", reason: "tests_failed", reward: 0, error: null });
    expect(result.agentPatch.text).toBe("");
    expect(result.tests[0]).toMatchObject({ passed: false, exitCode: 1, output: "wrong greeting\n" });
    expect(result.testOutput.text).toContain("=== fail_to_pass_1: exited with code 1 ===\nwrong greeting\n");
    expect(reporter.phases.slice(0, 2)).toEqual(["clone started cached", "clone finished cached"]);
  });

  it("nothing is left on the engine afterwards", async () => {
    expect(await bench.host.list(bench.instance)).toEqual([]);
  });
});
