/** The order of things in an attempt, on a scripted host: no engine, no process. */
import { describe, expect, it } from "vitest";
import type { AgentSpec, TaskSpec } from "../../src/archive/submission.ts";
import { createEvaluator } from "../../src/evaluation/evaluator.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { deferred } from "../../src/kernel/signals.ts";
import type { SandboxSpec } from "../../src/sandbox/port.ts";
import { type Answer, type Call, exited, ScriptedHost } from "./scripted-host.ts";
import {
  agentOf,
  BASE_COMMIT,
  blobsInMemory,
  configOf,
  endRecord,
  inputOf,
  keptInMemory,
  RecordingReporter,
  record,
  sanityInMemory,
  TREE_HASH,
  taskOf,
} from "./support.ts";

/** A sandbox in which everything goes well and the agent changes one file. */
function ordinary(call: Call): Answer | undefined {
  if (call.line.endsWith("rev-parse HEAD")) return { stdout: `${BASE_COMMIT}\n` };
  if (call.line.endsWith("rev-parse HEAD^{tree}")) return { stdout: `${TREE_HASH}\n` };
  if (call.line.startsWith("cat /mnt/agent/")) return { outcome: exited(1) };
  if (call.line.startsWith("du ")) return { stdout: "10\t/agent\n" };
  if (call.line.startsWith("/proctor/bin/harvest")) {
    return { stdout: Buffer.concat([record("F", "a.txt", "two\n"), endRecord()]) };
  }
  if (call.line.endsWith("write-tree")) return { stdout: "tree\n" };
  if (call.line.includes("diff-tree")) return { stdout: "diff --git a/a.txt b/a.txt\n" };
  return undefined;
}

function roomWith(
  script: (call: Call) => Answer | undefined | Promise<Answer | undefined> = () => undefined,
  sanity: "presumed" | "checked" = "presumed",
  environment: Record<string, string> = {},
) {
  const host = new ScriptedHost(async (call) => (await script(call)) ?? ordinary(call));
  const kept = keptInMemory();
  const config = configOf(environment);
  const room = createEvaluator({
    host,
    store: { kept, sanity: sanityInMemory(sanity) },
    blobs: blobsInMemory(),
    config,
    clock: systemClock,
    instance: "unit",
    resolveHost: async () => ["140.82.112.3"],
  });
  const reporter = new RecordingReporter();
  const evaluate = (
    task: Partial<TaskSpec> = {},
    agent: Partial<AgentSpec> = {},
    signal = new AbortController().signal,
  ) => room.evaluate(inputOf(taskOf(task), agentOf(agent)), reporter, signal);
  return { host, kept, room, reporter, evaluate };
}

const ends = (line: string, answer: Answer) => (call: Call) => (call.line.includes(line) ? answer : undefined);

describe("an attempt", () => {
  it("goes from the environment to the verdict, and leaves nothing open", async () => {
    const { host, evaluate } = roomWith();
    expect(await evaluate()).toMatchObject({
      verdict: "passed",
      reward: 1,
      baseCommit: BASE_COMMIT,
      treeHash: TREE_HASH,
    });
    const kindOf = (network: SandboxSpec["network"]) => (typeof network === "string" ? network : "allow-list");
    expect(host.specs.map((spec) => [spec.profile, kindOf(spec.network)])).toEqual([
      ["build", "allow-list"],
      ["build", "none"],
      ["strict", "none"],
    ]);
    expect(host.openCount).toBe(0);
  });

  it("brings the hidden tests only after the agent's processes are ended, its change taken and its places emptied", async () => {
    const { host, evaluate } = roomWith();
    await evaluate({ testFiles: [{ path: "t.sh", content: "HIDDEN", encoding: "utf8", executable: false }] });
    const at = (text: string) => host.log.findIndex((line) => line.includes(text));
    const hidden = host.calls.findIndex((call) => call.stdin.includes("HIDDEN"));
    const order = [
      at("bash /agent/agent.sh"),
      at("/proctor/bin/harvest"),
      at("/proctor/bin/wipe"),
      at("bash /task/judge/1.sh"),
    ];
    expect(order.every((place) => place >= 0)).toBe(true);
    expect([...order].sort((a, b) => a - b)).toEqual(order);
    expect(host.log.slice(order[0], order[1])).toContain("endAll");
    expect(host.log.slice(order[1], order[2])).toContain("endAll");
    const wiped = host.calls.findIndex((call) => call.line.includes("/proctor/bin/wipe"));
    expect(hidden).toBeGreaterThan(wiped);
  });

  it("runs nothing as root in a strict sandbox, and nothing of ours as the agent but what reads or removes its files", async () => {
    const { host, evaluate } = roomWith();
    await evaluate({ toolVersions: { python: "3" } });
    const strict = host.calls.filter((call) => call.spec.profile === "strict");
    expect(strict.some((call) => call.command.user === "root")).toBe(false);
    const asAgent = strict.filter((call) => call.command.user === "agent").map((call) => call.command.argv[0]);
    expect([...new Set(asAgent)]).toEqual(["python3", "find", "bash", "/proctor/bin/harvest", "/proctor/bin/wipe"]);
  });

  it("judges in a fresh sandbox where the old one can't be emptied", async () => {
    const { host, evaluate } = roomWith(ends("/proctor/bin/wipe", { outcome: exited(1) }));
    const result = await evaluate();
    expect(result).toMatchObject({ verdict: "passed" });
    expect(result.notes).toContain("The agent's sandbox could not be emptied; the tests ran in a fresh one.");
    expect(host.specs.filter((spec) => spec.profile === "strict")).toHaveLength(2);
    const closed = host.log.lastIndexOf("open strict");
    expect(host.log.slice(0, closed)).toContain("close");
    expect(host.openCount).toBe(0);
  });

  it.each([
    { environment: {}, grading: "clean", opens: 1, wipes: 1 },
    { environment: { GRADING: "fresh" }, grading: "fresh", opens: 2, wipes: 0 },
  ])("GRADING=$grading is what the result says, and how it was", async ({ environment, grading, opens, wipes }) => {
    const { host, evaluate } = roomWith(undefined, "presumed", environment);
    const result = await evaluate();
    expect(result).toMatchObject({ verdict: "passed", grading });
    expect(result.notes).toEqual([]);
    expect(host.specs.filter((spec) => spec.profile === "strict")).toHaveLength(opens);
    expect(host.calls.filter((call) => call.line.startsWith("/proctor/bin/wipe"))).toHaveLength(wipes);
    expect(host.openCount).toBe(0);
  });

  it("judges in a fresh sandbox where something is left after emptying", async () => {
    const { host, evaluate } = roomWith(ends("-print -quit", { stdout: "/tmp/left\n" }));
    await evaluate();
    expect(host.specs.filter((spec) => spec.profile === "strict")).toHaveLength(2);
  });

  it("a change that can't be read is a note, and the task is judged without it", async () => {
    const { evaluate } = roomWith(ends("/proctor/bin/harvest", { outcome: { kind: "timedOut", limitMs: 1 } }));
    const result = await evaluate();
    expect(result.notes.join()).toContain("could not be read");
    expect(result.agentPatch.text).toBe("");
  });

  it("a second task of the same environment and agent makes neither again", async () => {
    const { host, evaluate, reporter } = roomWith();
    await evaluate();
    const opened = host.specs.length;
    const result = await evaluate({ taskId: "owner/name-2" as TaskSpec["taskId"] });
    expect(host.specs.slice(opened).map((spec) => spec.profile)).toEqual(["strict"]);
    expect(result.phases.map((phase) => [phase.phase, phase.cached])).toEqual([
      ["clone", true],
      ["install", true],
      ["agent", false],
      ["tests", false],
    ]);
    expect(reporter.phases).toContain("clone finished cached");
  });

  it("an attempt that joins a build hears its phases, and no output before its phase", async () => {
    const [installs, joined, release] = [deferred<void>(), deferred<void>(), deferred<void>()];
    const { room, evaluate } = roomWith(async (call) => {
      if (!call.line.includes("/install/1.sh")) return undefined;
      installs.resolve();
      await joined.promise;
      call.onOutput?.("stdout", "installing\n");
      await release.promise;
      return undefined;
    });
    const task = { install: ["make"] };
    const first = evaluate(task);
    await installs.promise;
    const told: string[] = [];
    const second = room.evaluate(
      inputOf(taskOf(task), agentOf()),
      {
        phase: (phase, state) => {
          told.push(`${phase} ${state}`);
          if (phase === "install" && state === "started") joined.resolve();
        },
        log: (phase, _, text) => {
          told.push(`${phase}: ${text}`);
          release.resolve();
        },
      },
      new AbortController().signal,
    );
    await Promise.all([first, second]);
    const [before, output, after] = ["install started", "install: installing\n", "install finished"];
    expect(told.slice(0, 5)).toEqual(["clone started", "clone finished", before, output, after]);
    expect(told.filter((line) => line.startsWith("clone"))).toHaveLength(2);
  });
});

describe("what is the task's fault, and what the platform's", () => {
  it.each([
    {
      line: "fetch --depth",
      stderr: "fatal: remote error: upload-pack: not our ref",
      verdict: "inconclusive",
      reason: "clone_failed",
    },
    { line: "/task/install/1.sh", stderr: "boom", verdict: "inconclusive", reason: "install_failed" },
  ])("$reason is inconclusive, and nothing is kept", async ({ line, stderr, verdict, reason }) => {
    const { evaluate, kept, host } = roomWith(ends(line, { outcome: exited(128), stderr }));
    expect(await evaluate({ install: ["x"] })).toMatchObject({ verdict, reason, reward: 0 });
    expect([kept.rows.size, host.openCount]).toEqual([0, 0]);
  });

  it("a checkout of another commit than the one asked for is clone_failed", async () => {
    const { evaluate } = roomWith((call) =>
      call.line.endsWith("rev-parse HEAD") ? { stdout: "c".repeat(40) } : undefined,
    );
    expect(await evaluate()).toMatchObject({ verdict: "inconclusive", reason: "clone_failed" });
  });

  it.each([
    {
      line: "fetch --depth",
      answer: { outcome: exited(128), stderr: "Could not resolve host" },
      code: "git_unreachable",
    },
    { line: "fetch --depth", answer: { outcome: { kind: "timedOut" as const, limitMs: 1 } }, code: "git_unreachable" },
    { line: "chmod -R a+rX", answer: { outcome: exited(1) }, code: "sandbox_failed" },
    { line: "-t /repo", answer: { outcome: exited(1) }, code: "sandbox_failed" },
    { line: "tar -x -p", answer: { outcome: exited(2) }, code: "sandbox_failed" },
  ])("$code: $line", async ({ line, answer, code }) => {
    const { evaluate, host } = roomWith(ends(line, answer));
    await expect(evaluate()).rejects.toMatchObject({ code, isPlatformFault: true });
    expect(host.openCount).toBe(0);
  });

  it("an image that is not on the engine is told by name", async () => {
    const { evaluate, host } = roomWith();
    host.images.clear();
    await expect(evaluate()).rejects.toMatchObject({
      code: "image_missing",
      message: expect.stringContaining("SANDBOX_IMAGE"),
    });
  });

  it.each([
    { stderr: "ERROR: Invalid requirement", code: undefined, why: "its own mistake" },
    { stderr: "[Errno -3] Temporary failure in name resolution", code: "infra_error", why: "the network is away" },
  ])("an agent's packages: $why", async ({ stderr, code }) => {
    const { evaluate } = roomWith(ends("pip install", { outcome: exited(1), stderr }));
    const evaluated = evaluate({}, { requirements: ["requirements.txt"] });
    if (code === undefined)
      expect(await evaluated).toMatchObject({ verdict: "failed", reason: "agent_invalid", error: null });
    else await expect(evaluated).rejects.toMatchObject({ code });
  });

  it("an agent larger than the workspace with its packages is agent_invalid", async () => {
    const { evaluate } = roomWith(ends("du ", { stdout: "99999999999\t/agent\n" }));
    const result = await evaluate();
    expect(result).toMatchObject({ verdict: "failed", reason: "agent_invalid" });
    expect(result.agentOutput.text).toContain("TASK_DISK_MB");
  });

  it("a cancel during any command rejects with its reason and leaves nothing open", async () => {
    for (const line of [
      "fetch --depth",
      "du ",
      "bash /agent/agent.sh",
      "/proctor/bin/harvest",
      "bash /task/judge/1.sh",
    ]) {
      const controller = new AbortController();
      const reason = new Error(`cancelled at ${line}`);
      const { evaluate, host } = roomWith((call) => {
        if (!call.line.includes(line)) return undefined;
        setImmediate(() => controller.abort(reason));
        return new Promise<Answer>(() => {});
      });
      await expect(evaluate({}, {}, controller.signal)).rejects.toBe(reason);
      expect(host.openCount).toBe(0);
    }
  });
});

describe("eviction", () => {
  it("removes the least recently used, and never one in use", async () => {
    const held = Promise.withResolvers<Answer>();
    const { room, host, kept, evaluate } = roomWith((call) =>
      call.spec.labels.task === "busy" && call.line.startsWith("bash /agent/") ? held.promise : undefined,
    );
    const busy = evaluate({ taskId: "busy" as TaskSpec["taskId"], install: ["oldest"] });
    while (!host.log.some((line) => line.startsWith("bash /agent/"))) await new Promise(setImmediate);
    await evaluate({ install: ["second"] });
    await evaluate({ install: ["third"] });
    expect(await room.evictEnvironments(1)).toBe(2);
    expect(kept.rows.size).toBe(1);
    held.resolve({});
    expect(await busy).toMatchObject({ verdict: "passed" });
    expect(await room.evictEnvironments(0)).toBe(1);
    expect([...host.images.keys()]).toEqual(["proctor/sandbox:latest"]);
  });

  it("removes agents likewise, and makes one that went anew", async () => {
    const held = Promise.withResolvers<Answer>();
    const { room, host, evaluate } = roomWith((call) =>
      call.spec.labels.task === "busy" && call.line.startsWith("bash /agent/") ? held.promise : undefined,
    );
    const digestOf = (digit: string) => ({ digest: digit.repeat(64) as AgentSpec["digest"] });
    const busy = evaluate({ taskId: "busy" as TaskSpec["taskId"] }, digestOf("a"));
    while (!host.log.some((line) => line.startsWith("bash /agent/"))) await new Promise(setImmediate);
    await evaluate({}, digestOf("b"));
    await evaluate({}, digestOf("c"));
    await evaluate({}, digestOf("b"));
    expect(host.volumes.size).toBe(3);
    expect(await room.evictAgents(2)).toBe(1);
    expect([...host.volumes].filter((name) => name.includes("cccc"))).toEqual([]);
    expect(await room.evictAgents(0)).toBe(1);
    expect([...host.volumes].every((name) => name.includes("aaaa"))).toBe(true);
    held.resolve({});
    expect(await busy).toMatchObject({ verdict: "passed" });
    expect(await evaluate({}, digestOf("c"))).toMatchObject({ verdict: "passed" });
    expect(host.volumes.size).toBe(2);
  });
});

describe("SANITY_CHECK=off", () => {
  const off = { SANITY_CHECK: "off" };

  it("takes a task on trust: no sandbox is spent on it", async () => {
    const { host, evaluate } = roomWith(undefined, "checked", off);
    expect(await evaluate()).toMatchObject({ verdict: "passed", reward: 1 });
    expect(host.specs.map(({ profile }) => profile)).toEqual(["build", "build", "strict"]);
  });

  it("ends a task whose install fails, reference or not", async () => {
    const fails = (call: Call) => (call.line.includes("/task/install/1.sh") ? { outcome: exited(1) } : undefined);
    const { evaluate } = roomWith(fails, "checked", off);
    const task = { install: ["false"], referencePatch: "diff --git a/a.txt b/a.txt\n" };
    expect(await evaluate(task)).toMatchObject({ verdict: "inconclusive", reason: "install_failed", reward: 0 });
  });
});
