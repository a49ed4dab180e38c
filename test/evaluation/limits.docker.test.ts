/** What an agent or a test may do to its limits, row by row of CONTRACT.md's table. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bench, type Repository } from "./bench.ts";

let bench: Bench;
let repository: Repository;

beforeAll(async () => {
  bench = await Bench.open(
    {
      AGENT_TIMEOUT_SECS: "3",
      TEST_TIMEOUT_SECS: "3",
      MAX_FLOOD_BYTES: "20000000",
      MAX_OUTPUT_BYTES: "4096",
      TASK_MEMORY_MB: "256",
      TASK_DISK_MB: "64",
    },
    "presumed",
  );
  repository = await bench.repository({ "a.txt": "one\n" });
  await bench.evaluate(repository, "true\n", judgedBy("true"));
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

const judgedBy = (...scripts: string[]) => ({
  judges: scripts.map((script, index) => ({ name: `check_${index + 1}`, script, workingDir: "." })),
});
const fixed = judgedBy("grep -q two a.txt");

describe("the agent's limits", () => {
  it.each([
    { script: "sleep 600", why: "sleeps" },
    { script: "trap '' TERM INT HUP; while :; do :; done", why: "ignores signals and spins" },
    {
      script: "(setsid sleep 600 &) ; (trap '' TERM; setsid bash -c 'sleep 600; :' &); sleep 600",
      why: "forks away and holds stdout",
    },
  ])("agent_timeout, within 1 s after the grace: an agent that $why", async ({ script }) => {
    const { result, reporter } = await bench.evaluate(repository, `echo begun; echo two >> a.txt\n${script}\n`, fixed);
    const agent = result.phases.find((phase) => phase.phase === "agent");
    expect(result).toMatchObject({ verdict: "failed", reason: "agent_timeout", reward: 0, error: null, tests: [] });
    expect(agent?.outcome).toEqual({ kind: "timedOut", limitMs: 3_000 });
    expect(result.agentOutput.text).toBe("begun\n");
    // From the agent's first word to the end of its phase; half a second for a machine that does other things too.
    const tookMs = (reporter.times.get("agent finished") ?? Number.NaN) - (reporter.times.get("agent") ?? Number.NaN);
    expect(tookMs).toBeLessThan(3_000 + 1_000 + 500);
    expect(tookMs).toBeGreaterThan(2_500);
  });

  it("output_limit: a flood ends the agent, head and tail are kept", async () => {
    const { result } = await bench.evaluate(repository, "echo first; yes flood\n", fixed);
    expect(result).toMatchObject({ verdict: "failed", reason: "output_limit", reward: 0 });
    expect(result.agentOutput.text.startsWith("first\n")).toBe(true);
    expect(result.agentOutput.text).toContain("... [truncated at 4096 bytes, total ");
  });

  it("oom: its main process killed for memory", async () => {
    const hog = "import sys\nx = []\nwhile True: x.append(bytearray(8 << 20))\n";
    const { result } = await bench.evaluate(repository, { "agent.py": hog }, fixed);
    expect(result).toMatchObject({ verdict: "failed", reason: "oom", reward: 0 });
  });

  it("judged and noted: a child killed for memory, output above the limit, a full disk", async () => {
    const script = `
      python3 -c 'x = []
while True: x.append(bytearray(8 << 20))' || echo child died
      seq 1 20000
      head -c 200000000 /dev/zero > /tmp/fill; head -c 200000000 /dev/zero > /repo/fill || echo disk full
      rm -f /tmp/fill /repo/fill
      echo two >> a.txt
      exit 3
    `;
    const { result } = await bench.evaluate(repository, script, fixed);
    expect(result).toMatchObject({ verdict: "passed", reward: 1, agentExitCode: 3 });
    expect(result.notes.join("\n")).toMatch(/killed for memory/);
    expect(result.notes.join("\n")).toMatch(/was cut/);
  });

  it("judged: exits with any code, dies of its own signal, leaves daemons", async () => {
    const { result } = await bench.evaluate(
      repository,
      "(setsid sleep 600 &); echo two >> a.txt; kill -SEGV $$\n",
      fixed,
    );
    expect(result).toMatchObject({ verdict: "passed", reward: 1 });
    expect(result.agentExitCode).toBeUndefined();
  });

  it("R08: killing everything it can reach ends nothing but itself", async () => {
    const { result } = await bench.evaluate(
      repository,
      "echo two >> a.txt; kill -9 1; kill -STOP 1; kill -9 -1\n",
      fixed,
    );
    expect(result).toMatchObject({ verdict: "passed", reward: 1 });
  });

  it("X07: very many files, a sparse giant, fifos and sockets: bounded, never blocked, the fix still counts", async () => {
    const script = `
      mkfifo pipe; ln -s /dev/zero zero; truncate -s 2G sparse
      python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("/repo/sock")'
      mkdir many; (cd many && seq 1 30000 | xargs touch)
      d=.; for i in $(seq 1 300); do d=$d/d; done; mkdir -p $d && echo deep > $d/file
      echo two >> a.txt
    `;
    const startedMs = performance.now();
    const { result } = await bench.evaluate(
      repository,
      script,
      judgedBy("! test -e pipe && ! test -e sock && grep -q two a.txt"),
    );
    expect(result.verdict).toBe("passed");
    expect(result.notes.join("\n")).toMatch(/fifo or socket/);
    expect(performance.now() - startedMs).toBeLessThan(60_000);
  });
});

describe("the tests' limits", () => {
  it.each([
    { script: "sleep 600", reason: "tests_timeout", why: "out of time" },
    { script: "yes flood", reason: "output_limit", why: "a flood" },
    { script: "exec python3 -c 'x = []\nwhile True: x.append(bytearray(8 << 20))'", reason: "oom", why: "memory" },
    { script: "exit 1", reason: "tests_failed", why: "exit 1" },
    { script: "kill -SEGV $$", reason: "tests_failed", why: "a crash" },
  ])("$reason: $why", async ({ script, reason }) => {
    const { result } = await bench.evaluate(repository, "true\n", judgedBy(script));
    expect(result).toMatchObject({ verdict: "failed", reason, reward: 0, error: null });
  });

  it("after a command that had to be ended the rest is not run; after one that failed it is", async () => {
    const timedOut = await bench.evaluate(repository, "true\n", judgedBy("sleep 600", "true"));
    expect(timedOut.result.tests.map((test) => [test.passed, test.exitCode])).toEqual([
      [false, undefined],
      [false, undefined],
    ]);
    const failed = await bench.evaluate(repository, "true\n", judgedBy("false", "true"));
    expect(failed.result.tests.map((test) => [test.passed, test.exitCode])).toEqual([
      [false, 1],
      [true, 0],
    ]);
  });

  it("what one command leaves running is gone before the next", async () => {
    const leave =
      "(setsid bash -c 'while :; do touch /tmp/alive; sleep 0.05; done' >/dev/null 2>&1 &); sleep 0.3; test -e /tmp/alive";
    const look = "rm -f /tmp/alive; sleep 0.4; ! test -e /tmp/alive";
    const { result } = await bench.evaluate(repository, "true\n", judgedBy(leave, look));
    expect(result.tests.map((test) => test.passed)).toEqual([true, true]);
  });
});

describe("cancel", () => {
  it("ends the sandbox and rejects with the signal's reason", async () => {
    const controller = new AbortController();
    const reason = new Error("cancelled by a person");
    const evaluation = bench.evaluate(repository, "sleep 2.5\n", fixed, controller.signal);
    setTimeout(() => controller.abort(reason), 700);
    await expect(evaluation).rejects.toBe(reason);
    expect(await bench.host.list(bench.instance)).toEqual([]);
  });
});
