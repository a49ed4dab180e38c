/** Which commands have a canary, and what it looks like. */
import { describe, expect, it } from "vitest";
import type { TaskSpec } from "../../src/archive/submission.ts";
import { canariesOf, runnerOf, unguardedOf } from "../../src/evaluation/canary.ts";
import { taskOf } from "./support.ts";

const task = (script: string, path: string, workingDir = ".", content = "x"): TaskSpec =>
  taskOf({
    judges: [{ name: "fail_to_pass_1", script, workingDir }],
    testFiles: [{ path, content, encoding: "utf8", executable: false }],
  });
const canary = (spec: TaskSpec) => canariesOf(spec, () => "0a")[0];

describe("which commands", () => {
  it.each([
    { script: "pytest -q tests/test_a.py::test_b", kind: "pytest" },
    { script: "cd /repo && python -m pytest -x", kind: "pytest" },
    { script: "python3 -m unittest tests.test_a", kind: "unittest" },
    { script: "node --experimental-x --test t.js", kind: "node" },
    { script: "go test ./...", kind: "go" },
    { script: "node tests/plain.test.js", kind: undefined },
    { script: "node build.js; ./run --test", kind: undefined },
    { script: "npm test", kind: undefined },
    { script: "grep -q two a.txt", kind: undefined },
  ])("$script: $kind", ({ script, kind }) => {
    expect(runnerOf({ script })).toBe(kind);
  });

  it.each([
    {
      spec: task("pytest tests/test_a.py", "tests/test_a.py"),
      path: "tests/test_c0a.py",
      why: "beside the hidden file",
    },
    { spec: task("pytest test_a.py", "app/test_a.py", "app"), path: "app/test_c0a.py", why: "named from its folder" },
    { spec: task("python -m unittest tests.test_a", "tests/test_a.py"), path: "tests/test_c0a.py", why: "as a module" },
    { spec: task("go test ./calc", "calc/a_test.go"), path: "calc/tc0a_test.go", why: "by its package" },
    { spec: task("pytest tests/test_b.py", "tests/test_a.py"), path: undefined, why: "another file" },
    { spec: task("pytest tests/data.json", "tests/data.json"), path: undefined, why: "no test file" },
    { spec: task("bash run.sh tests/test_a.py", "tests/test_a.py"), path: undefined, why: "a plain command" },
  ])("$why: $path", ({ spec, path }) => {
    expect(canary(spec)?.path).toBe(path);
  });

  it("paths are given from where the command runs", () => {
    expect(canary(task("pytest test_a.py", "app/test_a.py", "app"))?.argv.at(-1)).toBe("test_c0a.py");
    expect(canary(task("python -m unittest tests.test_a", "tests/test_a.py"))?.argv.at(-1)).toBe("tests.test_c0a");
  });

  it("a module gets imports, a script gets require", () => {
    expect(canary(task("node --test a.js", "a.js", ".", "import x from 'x';"))?.content).toContain("import tc0a from");
    expect(canary(task("node --test a.js", "a.js", ".", "const x = 1;"))?.content).toContain(';require("node:test")');
  });

  it("each run has a name of its own", () => {
    const names = ["1", "2"].map((word) => canariesOf(task("pytest a.py", "a.py"), () => word)[0]?.path);
    expect(new Set(names).size).toBe(2);
  });
});

it("a command is guarded by its runner's canary alone, where that was seen to work", () => {
  const spec = task("pytest a.py", "a.py");
  expect([unguardedOf(spec, ["pytest"]), unguardedOf(spec, ["node"])]).toEqual([[], ["fail_to_pass_1"]]);
});
