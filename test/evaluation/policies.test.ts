/** Grading policies as tables. A hash that changes means a rule that changed: that is another version, not this one. */
import { describe, expect, it } from "vitest";
import { type GradedCommand, policyRecord, rewardOf } from "../../src/evaluation/policies.ts";
import { decide } from "../../src/evaluation/verdict.ts";
import { type GradingPolicyId, gradingPolicies } from "../../src/kernel/outcome.ts";

/** `F` fail_to_pass, `P` pass_to_pass, `O` other; lower case: it did not pass. */
const commandsOf = (letters: string): GradedCommand[] =>
  [...letters].map((letter) => ({
    kind: ({ F: "failToPass", P: "passToPass" } as const)[letter.toUpperCase()] ?? "other",
    passed: letter === letter.toUpperCase(),
  }));

describe("rewards", () => {
  it.each<{ commands: string; rewards: readonly [all: number, named: number, weighted: number]; why: string }>([
    { commands: "FP", rewards: [1, 1, 1], why: "all pass" },
    { commands: "fP", rewards: [0, 0, 0], why: "the one that counts fails" },
    { commands: "FfPP", rewards: [0, 0, 0.5], why: "half of it solved" },
    { commands: "FFFfP", rewards: [0, 0, 0.75], why: "three of four" },
    { commands: "FFp", rewards: [0, 0, 0], why: "what worked is broken" },
    { commands: "FPo", rewards: [0, 1, 0.5], why: "an unnamed one fails beside named ones" },
    { commands: "OO", rewards: [1, 1, 1], why: "none is named" },
    { commands: "Oo", rewards: [0, 0, 0.5], why: "none is named, one fails" },
    { commands: "P", rewards: [1, 1, 1], why: "only what must not break" },
    { commands: "p", rewards: [0, 0, 0], why: "and it broke" },
    { commands: "", rewards: [0, 0, 0], why: "nothing ran: never a reward" },
  ])("$commands: $why", ({ commands, rewards }) => {
    expect(gradingPolicies.map((policy) => rewardOf(policy, commandsOf(commands)))).toEqual(rewards);
  });

  it("stay in [0, 1], and evidence of tampering outweighs every policy", () => {
    const letters = ["F", "f", "P", "p", "O", "o"];
    for (const a of letters) {
      for (const b of letters) {
        for (const policy of gradingPolicies) {
          const reward = rewardOf(policy, commandsOf(a + b));
          expect(reward >= 0 && reward <= 1).toBe(true);
        }
      }
    }
    for (const policy of gradingPolicies) {
      const evidence = [{ kind: "protected_file", detail: "x" }] as const;
      const outcomes = [{ kind: "exited", exitCode: 0 }] as const;
      const judged = decide({ kind: "judged", outcomes, kinds: ["failToPass"], policy, evidence });
      expect(judged).toMatchObject({ verdict: "failed", reason: "tampered", reward: 0 });
    }
  });

  it("a share below 1 is failed, with its reward", () => {
    const outcomes = [
      { kind: "exited", exitCode: 0 },
      { kind: "timedOut", limitMs: 1 },
    ] as const;
    const kinds = ["failToPass", "failToPass"] as const;
    const judged = decide({ kind: "judged", outcomes, kinds, policy: "weighted.v1", evidence: [] });
    expect(judged).toEqual({ verdict: "failed", reason: "tests_timeout", reward: 0.5, error: null });
  });
});

it.each<{ policy: GradingPolicyId; hash: string }>([
  { policy: "all_pass.v1", hash: "d5609fe137e1d72a7b438be1c3a3f7a2d8e0a858f3c50c21e22885340f72d261" },
  { policy: "f2p_p2p.v1", hash: "adb8fd5efa85eb94e895f2e85eb2081366b203b92e27c2939fc01fb5f924cad8" },
  { policy: "weighted.v1", hash: "f436ca2f8f24a6b2452e86f740a6746581802a41af67b728e52981f5b7bcdc2f" },
])("$policy is what was released", ({ policy, hash }) => {
  const record = policyRecord(policy);
  expect(`${record.id}.v${record.version}`).toBe(policy);
  expect(record.hash).toBe(hash);
});
