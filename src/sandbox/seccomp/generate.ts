/** Rules → the engine's seccomp profile, as a value, as a file and as a table for people. Pure. */
import type { ProfileName } from "../profiles.ts";
import { allowed } from "./allowed.ts";
import { conditional } from "./conditional.ts";
import { refused } from "./refused.ts";
import { type Comparison, errno, type Rule } from "./rule.ts";
import type { SeccompProfile } from "./schema.ts";

/** Every rule, in the order of the generated files. */
export const rules: readonly Rule[] = [...allowed, ...conditional, ...refused];

/** The filter of one profile: default EPERM, two architectures, neither with a second ABI beside it. */
export function generateSeccomp(name: ProfileName): SeccompProfile {
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    archMap: [
      { architecture: "SCMP_ARCH_X86_64", subArchitectures: [] },
      { architecture: "SCMP_ARCH_AARCH64", subArchitectures: [] },
    ],
    syscalls: rules
      // EPERM is what everything else gets: a rule that says so would be dropped by the runtime
      .filter(({ profiles, answer }) => profiles.includes(name) && answer !== "EPERM")
      .map(({ syscalls, answer, when }) => ({
        names: [...syscalls].sort(),
        ...(answer === "allow"
          ? { action: "SCMP_ACT_ALLOW" as const }
          : { action: "SCMP_ACT_ERRNO" as const, errnoRet: errno[answer] }),
        args: (when ?? []).map(argument),
      })),
  };
}

function argument({ index, mask, value }: Comparison): SeccompProfile["syscalls"][number]["args"][number] {
  return mask === undefined
    ? { index, value, valueTwo: 0, op: "SCMP_CMP_EQ" }
    : { index, value: mask, valueTwo: value, op: "SCMP_CMP_MASKED_EQ" };
}

/** The committed file's text: one rule a line, so that a review sees what changed. */
export function seccompText(profile: SeccompProfile): string {
  const lines = profile.syscalls.map((rule) => `    ${JSON.stringify(rule)}`);
  return [
    "{",
    `  "defaultAction": ${JSON.stringify(profile.defaultAction)},`,
    `  "archMap": ${JSON.stringify(profile.archMap)},`,
    `  "syscalls": [`,
    lines.join(",\n"),
    "  ]",
    "}",
    "",
  ].join("\n");
}

/** The README's table: each reason once, with its system calls and the answer in each profile. */
export function seccompTable(): string {
  const byWhy = Map.groupBy(rules, ({ why, answer, profiles }) => `${answer} ${profiles.join()} ${why}`);
  const rows = [...byWhy.values()].map((same) => {
    const [first] = same;
    const names = [...new Set(same.flatMap(({ syscalls }) => syscalls))].map((name) => `\`${name}\``);
    const condition = same.some(({ when }) => when !== undefined) ? " (by argument)" : "";
    return `| ${first?.answer}${condition} | ${first?.profiles.join(", ")} | ${names.join(" ")} | ${first?.why} |`;
  });
  return ["| answer | in | system calls | why |", "| --- | --- | --- | --- |", ...rows].join("\n");
}
