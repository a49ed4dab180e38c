/** Sanity first, on the real engine: who is judged by which task, and what is kept of it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bench, type Repository } from "./bench.ts";

let bench: Bench;
let repository: Repository;

const diff = (line: string) => `diff --git a/a.txt b/a.txt\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one\n+${line}\n`;
const judged = (...judges: readonly (readonly [name: string, script: string])[]) => ({
  judges: judges.map(([name, script]) => ({ name, script, workingDir: "." })),
});
const f2p = ["fail_to_pass_1", "grep -qx two a.txt"] as const;
const p2p = ["pass_to_pass_1", "test -f a.txt"] as const;
const solve = "echo two > a.txt\n";

beforeAll(async () => {
  bench = await Bench.open();
  repository = await bench.repository({ "a.txt": "one\n" });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

describe("a task that is not sound judges nobody", () => {
  it.each([
    {
      task: judged(["fail_to_pass_1", "true"], p2p),
      says: "fail_to_pass_1 passes on the base already.",
      why: "nothing to solve",
    },
    {
      task: judged(f2p, ["pass_to_pass_1", "echo broken; false"]),
      says: "pass_to_pass_1 fails on the base.",
      why: "broken before",
    },
    {
      task: judged(["check", "true"]),
      says: "Every judging command passes on the base",
      why: "no command tells a solution",
    },
    {
      task: { ...judged(f2p, p2p), referencePatch: diff("three") },
      says: "fails with the reference",
      why: "a reference that does not solve it",
    },
    {
      task: { ...judged(f2p, p2p), referencePatch: diff("two").replace("-one", "-none") },
      says: "does not apply",
      why: "a reference for another base",
    },
  ])("$why: sanity_failed", async ({ task, says }) => {
    const { result } = await bench.evaluate(repository, solve, task);
    expect(result).toMatchObject({ verdict: "inconclusive", reason: "sanity_failed", reward: 0, tests: [] });
    expect(result.error).toContain(says);
    expect(result.phases.map(({ phase }) => phase)).toEqual(["clone", "install"]);
  });

  it("tells the author what the command said", async () => {
    const { result } = await bench.evaluate(repository, solve, judged(f2p, ["pass_to_pass_1", "echo broken; false"]));
    expect(result.error).toContain("broken");
  });
});

describe("a sound task", () => {
  it.each([
    { task: judged(f2p, p2p), why: "without a reference" },
    { task: { ...judged(f2p, p2p), referencePatch: diff("two") }, why: "with one" },
    {
      task: { ...judged(f2p, p2p), referencePatch: diff("two").trimEnd() },
      why: "with one that lost its last line's end",
    },
  ])("$why: solving passes, doing nothing fails", async ({ task }) => {
    expect((await bench.evaluate(repository, solve, task)).result).toMatchObject({ verdict: "passed", reward: 1 });
    const { result } = await bench.evaluate(repository, "true\n", task);
    expect(result).toMatchObject({ verdict: "failed", reason: "tests_failed" });
    expect(result.notes).toEqual([]);
  });

  it("is checked once, however many ask at once", async () => {
    const task = judged(["fail_to_pass_once", "grep -qx two a.txt"]);
    const before = bench.sanity.rows.size;
    let putCount = 0;
    const put = bench.sanity.put;
    bench.sanity.put = async (...record) => {
      putCount += 1;
      await put(...record);
    };
    await Promise.all([1, 2, 3].map(() => bench.evaluate(repository, solve, task)));
    await bench.evaluate(repository, solve, task);
    bench.sanity.put = put;
    expect([bench.sanity.rows.size - before, putCount]).toEqual([1, 1]);
  });

  it("whose own tests rewrite a hidden file is no cheat of the solution's; another file still is", async () => {
    const files = ["golden.txt", "other.txt"].map((path) => ({
      path,
      content: "old\n",
      encoding: "utf8" as const,
      executable: false,
    }));
    const task = {
      ...judged(["fail_to_pass_1", "echo new > golden.txt; test -x run.sh && ./run.sh; grep -qx two a.txt"]),
      testFiles: files,
      referencePatch: diff("two"),
    };
    const honest = await bench.evaluate(repository, solve, task);
    expect(honest.result).toMatchObject({ verdict: "passed", evidence: [] });
    const script = `${solve}printf '#!/bin/sh\\necho x > other.txt\\n' > run.sh; chmod +x run.sh\n`;
    const cheat = await bench.evaluate(repository, script, task);
    expect(cheat.result).toMatchObject({ verdict: "failed", reason: "tampered" });
    expect(cheat.result.evidence?.map(({ detail }) => detail).join()).toContain("other.txt");
  });

  it("a reference that is no diff is told, and not tried", async () => {
    const { result } = await bench.evaluate(repository, solve, { ...judged(f2p), referencePatch: "see the wiki" });
    expect(result).toMatchObject({ verdict: "passed" });
    expect(result.notes).toEqual(["The reference patch is no diff; the task was checked without it."]);
  });
});

describe("Y09: an install that exits 1", () => {
  const sound = { ...judged(f2p, p2p), referencePatch: diff("two") };

  it("is a note where the reference shows the task sound all the same", async () => {
    const install = ["echo half > /opt/half; exit 1"];
    const { result, reporter } = await bench.evaluate(repository, solve, { ...sound, install });
    expect(result).toMatchObject({ verdict: "passed", reward: 1 });
    expect(result.notes[0]).toContain("A part of the install failed");
    expect(reporter.phases).toContain("install finished");
    const idle = await bench.evaluate(repository, "true\n", { ...sound, install });
    expect(idle.result).toMatchObject({ verdict: "failed", reason: "tests_failed" });
    expect(idle.result.phases[1]).toMatchObject({ phase: "install", cached: true });
  });

  it.each([
    { task: judged(f2p, p2p), why: "no reference shows it sound" },
    { task: { ...sound, ...judged(f2p, ["pass_to_pass_1", "false"]) }, why: "it is not sound" },
  ])("is install_failed where $why: nothing scored, nothing kept", async ({ task }) => {
    const install = ["echo no such package >&2; exit 7"];
    const { result } = await bench.evaluate(repository, solve, { ...task, install });
    expect(result).toMatchObject({ verdict: "inconclusive", reason: "install_failed", reward: 0, tests: [] });
    expect(result.error).toContain("no such package");
    expect([...bench.kept.rows.values()].filter((row) => row.installError?.includes("no such package"))).toEqual([]);
  });
});
