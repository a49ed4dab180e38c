import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseSeccomp } from "../../../src/sandbox/profiles.ts";
import { generateSeccomp, rules, seccompTable, seccompText } from "../../../src/sandbox/seccomp/generate.ts";
import { everywhere } from "../../../src/sandbox/seccomp/rule.ts";
import { table } from "./table.ts";

const folder = join(import.meta.dirname, "../../../sandbox-profiles");
const committed = (name: string) => readFileSync(join(folder, name), "utf8");

describe.each(everywhere)("the filter of %s", (name) => {
  const profile = generateSeccomp(name);

  it("is committed as it is generated", () => {
    expect(committed(`seccomp/${name}.json`), "run node src/sandbox/seccomp/write.ts").toBe(seccompText(profile));
  });

  it("names each system call for one answer only, unless its arguments decide", () => {
    const plain = profile.syscalls.filter(({ args }) => args.length === 0).flatMap(({ names }) => names);
    const byArgument = new Set(profile.syscalls.filter(({ args }) => args.length > 0).flatMap(({ names }) => names));
    expect(plain.filter((syscall, at) => plain.indexOf(syscall) !== at || byArgument.has(syscall))).toEqual([]);
  });

  it("answers every plainly named system call as the table of probes expects", () => {
    for (const { name: syscall, answers } of table) {
      const rule = rules.find(({ profiles, syscalls, when }) => {
        return profiles.includes(name) && syscalls.includes(syscall) && when === undefined;
      });
      if (rule !== undefined)
        expect(answers[name], syscall).toContain(rule.answer === "allow" ? "allowed" : rule.answer);
    }
  });
});

describe("what a filter may say", () => {
  const strict = generateSeccomp("strict");
  const parse = (change: object) => () => parseSeccomp("seccomp/strict.json", JSON.stringify({ ...strict, ...change }));
  const rule = (change: object) => ({
    syscalls: [
      ...strict.syscalls,
      {
        names: ["socket"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value: 40, valueTwo: 0, op: "SCMP_CMP_EQ", ...change }],
      },
    ],
  });

  it("is what is committed", () => {
    expect(parse({})()).toBe(JSON.stringify(strict));
  });

  it.each([
    { why: "an empty profile is unconfined", change: { syscalls: [] } },
    { why: "allowing by default", change: { defaultAction: "SCMP_ACT_ALLOW" } },
    { why: "logging instead of refusing", change: { defaultAction: "SCMP_ACT_LOG" } },
    {
      why: "the i386 ABI",
      change: {
        archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }, strict.archMap[1]],
      },
    },
    {
      why: "another architecture",
      change: { archMap: [strict.archMap[0], { architecture: "SCMP_ARCH_X32", subArchitectures: [] }] },
    },
    { why: "no architecture", change: { archMap: [] } },
    { why: "a second list of architectures", change: { architectures: ["SCMP_ARCH_X86"] } },
    { why: "flags of the filter", change: { flags: ["SECCOMP_FILTER_FLAG_LOG"] } },
    ...["NE", "LT", "LE", "GE", "GT"].map((op) => ({
      why: `${op} compares 64 bits`,
      change: rule({ op: `SCMP_CMP_${op}` }),
    })),
    { why: "a seventh argument", change: rule({ index: 6 }) },
    { why: "a second value for EQ", change: rule({ valueTwo: 1 }) },
    { why: "a masked value outside its mask", change: rule({ op: "SCMP_CMP_MASKED_EQ", value: 1, valueTwo: 2 }) },
    { why: "a number beyond what JSON carries exactly", change: rule({ value: 2 ** 60 }) },
    { why: "an unknown field", change: rule({ comment: "x" }) },
    {
      why: "one index twice: runtimes read it as either",
      change: {
        syscalls: [
          ...strict.syscalls,
          {
            names: ["socket"],
            action: "SCMP_ACT_ALLOW",
            args: [1, 2].map((value) => ({ index: 0, value, valueTwo: 0, op: "SCMP_CMP_EQ" })),
          },
        ],
      },
    },
    ...["SCMP_ACT_TRACE", "SCMP_ACT_NOTIFY", "SCMP_ACT_LOG"].map((action) => ({
      why: action,
      change: { syscalls: [...strict.syscalls, { names: ["socket"], action, args: [] }] },
    })),
  ])("$why: refused", ({ change }) => {
    expect(parse(change)).toThrow(/sandbox profile seccomp\/strict\.json: /);
  });
});

describe("the rules", () => {
  it("each have a reason, and stand with it in the README", () => {
    for (const { why } of rules) expect(why.length).toBeGreaterThan(8);
    expect(committed("README.md"), "run node src/sandbox/seccomp/write.ts").toContain(seccompTable());
  });

  it.each(["clone3", "io_uring_setup", "userfaultfd", "memfd_secret", "open_tree"])(
    "%s is ENOSYS everywhere: programs fall back",
    (syscall) => {
      for (const name of everywhere) {
        const rule = generateSeccomp(name).syscalls.find(({ names }) => names.includes(syscall));
        expect(rule).toMatchObject({ action: "SCMP_ACT_ERRNO", errnoRet: 38, args: [] });
      }
    },
  );

  it.each([
    "ptrace",
    "bpf",
    "unshare",
    "setns",
    "mount",
    "modify_ldt",
    "perf_event_open",
    "process_vm_writev",
    "kexec_load",
  ])("%s is in no profile", (syscall) => {
    for (const name of everywhere) {
      expect(generateSeccomp(name).syscalls.filter(({ names }) => names.includes(syscall))).toEqual([]);
    }
  });

  it("paranoid allows nothing that strict does not", () => {
    const allowedBy = (name: "strict" | "paranoid") =>
      new Set(
        generateSeccomp(name)
          .syscalls.filter(({ action }) => action === "SCMP_ACT_ALLOW")
          .flatMap(({ names, args }) => names.map((syscall) => `${syscall} ${JSON.stringify(args)}`)),
      );
    expect([...allowedBy("paranoid")].filter((one) => !allowedBy("strict").has(one))).toEqual([]);
  });
});
