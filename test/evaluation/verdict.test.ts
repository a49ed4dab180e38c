import { describe, expect, it } from "vitest";
import { agentEndReason, decide, type Finding } from "../../src/evaluation/verdict.ts";
import type { Outcome } from "../../src/kernel/outcome.ts";

const exit = (exitCode: number): Outcome => ({ kind: "exited", exitCode });
const timedOut: Outcome = { kind: "timedOut", limitMs: 1 };
const outOfMemory: Outcome = { kind: "outOfMemory", limitBytes: 1 };
const flooded: Outcome = { kind: "flooded", limitBytes: 1 };
const diskExhausted: Outcome = { kind: "diskExhausted", limitBytes: 1 };
const signaled: Outcome = { kind: "signaled", signal: "SIGSEGV" };
const judged = (...outcomes: (Outcome | undefined)[]): Finding => ({
  kind: "judged",
  outcomes,
  kinds: outcomes.map(() => "other"),
  policy: "all_pass.v1",
  evidence: [],
});
const tampered: Finding = {
  kind: "judged",
  outcomes: [exit(0)],
  kinds: ["other"],
  policy: "all_pass.v1",
  evidence: [{ kind: "hidden_test_changed", detail: "x" }],
};

describe("the agent's end (CONTRACT: what the agent's phase did)", () => {
  it.each([
    { outcome: exit(0), reason: undefined, why: "exits: judged" },
    { outcome: exit(137), reason: undefined, why: "whatever the code, even one that looks like a kill" },
    { outcome: signaled, reason: undefined, why: "its own signal is its own end" },
    { outcome: timedOut, reason: "agent_timeout", why: "out of time" },
    { outcome: outOfMemory, reason: "oom", why: "its main process killed for memory" },
    { outcome: flooded, reason: "output_limit", why: "a flood" },
    { outcome: diskExhausted, reason: "disk_limit", why: "disk stopped from outside" },
  ])("$outcome.kind → $reason: $why", ({ outcome, reason }) => {
    expect(agentEndReason(outcome)).toBe(reason);
  });
});

describe("the verdict", () => {
  it.each<{ finding: Finding; verdict: string; reason: string | null; why: string }>([
    { finding: judged(exit(0)), verdict: "passed", reason: null, why: "one command, exit 0" },
    { finding: judged(exit(0), exit(0), exit(0)), verdict: "passed", reason: null, why: "all exit 0" },
    { finding: judged(exit(1)), verdict: "failed", reason: "tests_failed", why: "exit 1" },
    { finding: judged(exit(0), exit(2)), verdict: "failed", reason: "tests_failed", why: "one of them fails" },
    { finding: judged(signaled), verdict: "failed", reason: "tests_failed", why: "a crash is not exit 0" },
    { finding: judged(exit(0), timedOut), verdict: "failed", reason: "tests_timeout", why: "out of time" },
    { finding: judged(timedOut, undefined), verdict: "failed", reason: "tests_timeout", why: "the rest was not run" },
    { finding: judged(outOfMemory), verdict: "failed", reason: "oom", why: "the agent's code ran in them" },
    { finding: judged(flooded), verdict: "failed", reason: "output_limit", why: "the agent's code ran in them" },
    { finding: judged(diskExhausted), verdict: "failed", reason: "disk_limit", why: "the agent's code ran in them" },
    { finding: judged(exit(0), undefined), verdict: "failed", reason: "tests_failed", why: "not every one ran" },
    {
      finding: {
        kind: "judged",
        outcomes: [exit(0), exit(1)],
        kinds: ["failToPass", "other"],
        policy: "f2p_p2p.v1",
        evidence: [],
      },
      verdict: "passed",
      reason: null,
      why: "the policy does not count the other",
    },
    { finding: tampered, verdict: "failed", reason: "tampered", why: "evidence outweighs exit 0" },
    {
      finding: { kind: "sanityFailed", error: "x" },
      verdict: "inconclusive",
      reason: "sanity_failed",
      why: "an unsound task judges nobody",
    },
    { finding: judged(), verdict: "inconclusive", reason: "no_tests", why: "nothing ran: never a pass" },
    { finding: { kind: "noTests" }, verdict: "inconclusive", reason: "no_tests", why: "nothing to run" },
    {
      finding: { kind: "cloneFailed", error: "x" },
      verdict: "inconclusive",
      reason: "clone_failed",
      why: "no repository",
    },
    { finding: { kind: "installFailed", error: "x" }, verdict: "inconclusive", reason: "install_failed", why: "Y09" },
    {
      finding: { kind: "agentInvalid" },
      verdict: "failed",
      reason: "agent_invalid",
      why: "its own preparation failed",
    },
    { finding: { kind: "agentEnded", reason: "oom" }, verdict: "failed", reason: "oom", why: "not judged" },
    {
      finding: { kind: "agentEnded", reason: "agent_timeout" },
      verdict: "failed",
      reason: "agent_timeout",
      why: "not judged",
    },
  ])("$verdict $reason: $why", ({ finding, verdict, reason }) => {
    const judgement = decide(finding);
    expect(judgement).toMatchObject({ verdict, reason, reward: verdict === "passed" ? 1 : 0 });
    expect(judgement.error !== null).toBe(verdict === "inconclusive");
  });
});
