/** R09: some hundred system calls and sockets, asked in every profile, answer as the committed table says. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ContractSubject } from "../contract.ts";
import { makeSubject, whyNoEngine } from "../engine.ts";
import { type Answers, askUnconfined, askUnder } from "./probe.ts";
import { table } from "./table.ts";

const missing = await whyNoEngine();
if (missing !== undefined) it.skip(missing, () => {});

/** Asked on a machine of the other kind these have no number. */
const isX86Only = process.arch !== "x64";

describe.runIf(missing === undefined)("R09 the filter, asked from inside", () => {
  let subject: ContractSubject;
  let unconfined: Answers;

  beforeAll(async () => {
    subject = await makeSubject();
    unconfined = await askUnconfined(subject);
  });
  afterAll(async () => {
    await subject?.dispose();
  });

  it.each(["strict", "build", "paranoid"] as const)("%s answers as the table says", async (profile) => {
    const answers = await askUnder(subject, profile);
    const wrong = table.flatMap(({ name, answers: expected }) => {
      const got = answers.get(name);
      if (got === undefined && isX86Only) return [];
      const isRight = expected[profile].some((cell) => got === (cell === "allowed" ? unconfined.get(name) : cell));
      return isRight
        ? []
        : [`${name}: ${got}, not ${expected[profile].join("/")} (unconfined ${unconfined.get(name)})`];
    });
    expect(wrong).toEqual([]);
    const known = new Set(table.map(({ name }) => name));
    expect([...answers.keys()].filter((name) => !known.has(name))).toEqual([]);
  });

  it("control: without a filter the same program gets through", () => {
    const refused = table.filter(({ answers }) => !answers.strict.includes("allowed"));
    const shown = refused.filter(({ name, answers }) => {
      const answer = unconfined.get(name);
      return answer !== undefined && !answers.strict.includes(answer);
    });
    // the rest the kernel refuses an unprivileged process by itself, in the same words
    expect(shown.length / refused.length).toBeGreaterThan(0.8);
    expect(shown.length).toBeGreaterThan(150);
  });

  it.each([
    "ptrace:traceme",
    "io_uring_setup:one",
    "keyctl:session-keyring",
    "process_vm_readv",
    "kcmp",
    "bpf:prog-array",
    "perf_event_open",
    "clone3",
    "open_tree",
    "socket:netlink:raw:generic",
    "socket:netlink:raw:sock_diag",
    "personality:no-randomize",
  ])("control: %s is the filter's doing, not the kernel's", (name) => {
    expect(unconfined.get(name)).toBeDefined();
    expect(["EPERM", "ENOSYS"]).not.toContain(unconfined.get(name));
  });
});
