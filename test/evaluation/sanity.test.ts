/** When a task is sound: the rules as a table. */
import { describe, expect, it } from "vitest";
import { judgeKind, type SeenOutcomes, sanityDigest, unsoundness } from "../../src/evaluation/sanity.ts";
import { evaluationSettings } from "../../src/evaluation/settings.ts";
import type { Outcome } from "../../src/kernel/outcome.ts";
import { configOf, taskOf } from "./support.ts";

const [pass, fail]: [Outcome, Outcome] = [
  { kind: "exited", exitCode: 0 },
  { kind: "exited", exitCode: 1 },
];
const late: Outcome = { kind: "timedOut", limitMs: 1 };
const judges = (...names: string[]) => names.map((name) => ({ name }));
const [f2p, p2p] = ["fail_to_pass_1", "pass_to_pass_1"];

interface Row {
  readonly names: readonly string[];
  readonly base: SeenOutcomes;
  readonly reference?: SeenOutcomes;
  readonly problems: number;
  readonly why: string;
}

describe("soundness", () => {
  it.each<Row>([
    { names: [f2p], base: [fail], problems: 0, why: "fails on the base" },
    { names: [f2p], base: [late], problems: 0, why: "out of time is not passing" },
    { names: [f2p], base: [pass], problems: 1, why: "passes on the base, as a test does that is skipped" },
    { names: [f2p, p2p], base: [fail, pass], problems: 0, why: "both as they should" },
    { names: [f2p, p2p], base: [fail, fail], problems: 1, why: "what should pass fails" },
    { names: [f2p, p2p], base: [fail, undefined], problems: 1, why: "what should pass was not run" },
    { names: [f2p], base: [fail], reference: [pass], problems: 0, why: "the reference passes" },
    { names: [f2p], base: [fail], reference: [fail], problems: 1, why: "the reference does not pass" },
    { names: [f2p, p2p], base: [fail, pass], reference: [pass, fail], problems: 1, why: "nor may it break another" },
    { names: [p2p], base: [pass], problems: 0, why: "nothing but what must not break" },
    { names: ["a", "b"], base: [pass, fail], problems: 0, why: "no kind: one of them fails" },
    { names: ["a", "b"], base: [pass, pass], problems: 1, why: "no kind: doing nothing would pass" },
    { names: [p2p, "b"], base: [pass, pass], problems: 0, why: "kinds beside none" },
    { names: ["a"], base: [fail], reference: [undefined], problems: 1, why: "not run is not passed" },
  ])("$names: $why", ({ names, base, reference, problems }) => {
    expect(unsoundness(judges(...names), base, reference)).toHaveLength(problems);
  });

  it.each([
    { name: "fail_to_pass_3", kind: "failToPass" },
    { name: "sub/pass_to_pass_x", kind: "passToPass" },
    { name: "test_fail_to_pass", kind: "other" },
    { name: "check_1", kind: "other" },
  ])("$name is $kind", ({ name, kind }) => {
    expect(judgeKind({ name })).toBe(kind);
  });

  it("a finding holds for the same commands, tests, reference and limits, whatever the task is called", () => {
    const settings = evaluationSettings(configOf());
    const digest = sanityDigest(taskOf(), settings);
    expect(sanityDigest(taskOf({ prompt: "other", install: ["x"] }), settings)).toBe(digest);
    const others = [
      sanityDigest(
        taskOf({ judges: judges("a").map((judge) => ({ ...judge, script: "x", workingDir: "." })) }),
        settings,
      ),
      sanityDigest(taskOf({ referencePatch: "x" }), settings),
      sanityDigest(taskOf({ testFiles: [{ path: "a", content: "", encoding: "utf8", executable: false }] }), settings),
      sanityDigest(taskOf(), { ...settings, testTimeoutMs: 1 }),
    ];
    expect(new Set([digest, ...others]).size).toBe(5);
  });
});
