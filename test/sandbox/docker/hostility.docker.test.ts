/** Hostile programs in a strict sandbox on the real engine; rows of THREATS.md by name. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import Docker from "dockerode";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/kernel/clock.ts";
import type { Sandbox, SandboxSpec } from "../../../src/sandbox/port.ts";
import { bash, type ContractSubject, megabyte, specOf } from "../contract.ts";
import { makeSubject, whyNoEngine } from "../engine.ts";

const missing = await whyNoEngine();
if (missing !== undefined) it.skip(missing, () => {});

describe.runIf(missing === undefined)("a hostile program in a strict sandbox", () => {
  let subject: ContractSubject;
  let sandbox: Sandbox;
  const opened: Sandbox[] = [];

  const open = async (change: Partial<SandboxSpec> = {}) => {
    const made = await subject.host.open(specOf(subject.instance, subject.image, change));
    opened.push(made);
    return made;
  };
  const text = async (script: string, change = {}) => (await sandbox.run(bash(script, change))).output.text;
  /** Every process inside but the one that looks and PID 1. */
  const others = async () => (await text("ps -eo pid=,comm= | grep -vE ' (ps|grep|bash|supervisor)$'")).trim();

  beforeAll(async () => {
    subject = await makeSubject();
  });
  afterAll(async () => {
    await subject?.dispose();
  });
  const fresh = async (change: Partial<SandboxSpec> = {}) => {
    sandbox = await open(change);
  };
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((made) => made.close()));
  });

  it("R10 has no privilege at all, and no way back to one", async () => {
    await fresh();
    const status = await text("grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr '\\t' ' '");
    const none = "0000000000000000";
    expect(
      status
        .trim()
        .split("\n")
        .map((line) => line.trim()),
    ).toEqual([
      "Uid: 10001 10001 10001 10001",
      "Gid: 10001 10001 10001 10001",
      "Groups:",
      `CapInh: ${none}`,
      `CapPrm: ${none}`,
      `CapEff: ${none}`,
      `CapBnd: ${none}`,
      `CapAmb: ${none}`,
      "NoNewPrivs: 1",
      "Seccomp: 2",
    ]);
    // su is setuid root in the image: with no-new-privileges it stays who it was
    expect(await text("test -u /bin/su && echo setuid; echo | su -c id 2>&1 | grep -c uid=0")).toBe("setuid\n0\n");
  });

  it.each([
    { what: "read its memory", script: "head -c 1 /proc/1/mem" },
    { what: "read its map", script: "cat /proc/1/maps | grep ." },
    { what: "list its descriptors", script: "ls /proc/1/fd" },
    { what: "write to its stdout", script: "echo x > /proc/1/fd/1" },
    { what: "read its environment", script: "cat /proc/1/environ | grep ." },
    { what: "reach its root", script: "ls /proc/1/root/" },
    { what: "kill it", script: "kill -9 1" },
    { what: "stop it", script: "kill -STOP 1" },
    { what: "read its program", script: "cat /proctor/bin/supervisor" },
    { what: "lock its program's folder", script: "flock /proctor/bin true" },
  ])("can't $what (the supervisor)", async ({ script }) => {
    await fresh();
    const result = await sandbox.run(bash(script));
    expect(result.outcome).toMatchObject({ kind: "exited", exitCode: expect.not.stringMatching("^0$") });
    expect(result.outcome).not.toEqual({ kind: "exited", exitCode: 0 });
    expect((await sandbox.run(bash("exit 0"))).outcome).toEqual({ kind: "exited", exitCode: 0 });
  });

  it("R08 kill -9 -1, kill 1 and STOP everything end its own processes only", async () => {
    await fresh();
    const suicide = await sandbox.run(bash("sleep 600 & kill -9 1; kill -9 -1; kill -9 $$"));
    expect(suicide.outcome).toEqual({ kind: "signaled", signal: "SIGKILL" });
    const stopped = await sandbox.run(bash("kill -STOP -1; kill -STOP $$; sleep 600", { timeoutMs: 500 }));
    expect(stopped.outcome).toEqual({ kind: "timedOut", limitMs: 500 });
    expect(await others()).toBe("");
    expect(await text("echo alive")).toBe("alive\n");
  });

  it("a process that ignores TERM, double-forks and holds stdout is gone within 1 s after its time", async () => {
    await fresh();
    const stubborn =
      "trap '' TERM INT HUP; (setsid bash -c \"trap '' TERM; while :; do sleep 1; done\" &) ; while :; do sleep 1; done";
    const result = await sandbox.run(bash(stubborn, { timeoutMs: 500 }));
    expect(result.outcome).toEqual({ kind: "timedOut", limitMs: 500 });
    expect(result.durationMs).toBeLessThan(1_500);
    expect(await others()).toBe("");
  });

  it("a background heir of stdout does not delay the end, and endAll takes it", async () => {
    await fresh();
    const result = await sandbox.run(bash("(setsid sleep 600 &) ; echo done"));
    expect(result.output.text).toBe("done\n");
    expect(result.durationMs).toBeLessThan(1_000);
    expect(await others()).toContain("sleep");
    await sandbox.endAll();
    expect(await others()).toBe("");
  });

  it("an OOM of the main process is an outcome; one of a child is only counted", async () => {
    await fresh({ resources: { memoryBytes: 96 * megabyte, cpus: 1, pidsMax: 64, diskBytes: 32 * megabyte } });
    const eater = "x = bytearray(300 * 1024 * 1024)";
    const main = await sandbox.run(bash("", { argv: ["python3", "-c", eater] }));
    expect(main.outcome).toEqual({ kind: "outOfMemory", limitBytes: 96 * megabyte });
    expect(main.oomKills).toBeGreaterThan(0);
    const child = await sandbox.run(bash(`python3 -c "${eater}"; echo lived with $?`));
    expect(child.outcome).toEqual({ kind: "exited", exitCode: 0 });
    expect(child.output.text).toContain("lived with 137");
    expect(child.oomKills).toBeGreaterThan(0);
    const fine = await sandbox.run(bash("exit 0"));
    expect(fine).toMatchObject({ outcome: { kind: "exited", exitCode: 0 }, oomKills: 0 });
  });

  it("R01 a fork bomb stays inside, and an honest task beside it ends in time", async () => {
    await fresh();
    const honest = await open();
    const work = bash("i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo $i");
    const alone = await honest.run(work);
    const bomb = sandbox.run(bash("f() { f | f & }; f; sleep 600", { timeoutMs: 4_000, outputBytesMax: 4_096 }));
    const beside = await honest.run(work);
    expect(beside.output.text).toBe("60000\n");
    // half of two processors is the bomb's: twice as long, and some slack for a busy test machine
    expect(beside.durationMs).toBeLessThan(4 * alone.durationMs + 1_000);
    expect((await bomb).outcome.kind).toBe("timedOut");
    await sandbox.endAll();
    expect(await others()).toBe("");
  });

  it("R03 every writable place is bounded, and none of it is the host's disk", async () => {
    await fresh({ resources: { memoryBytes: 512 * megabyte, cpus: 1, pidsMax: 64, diskBytes: 64 * megabyte } });
    const script = [
      "for d in /repo /tmp /var/tmp /home /task /dev/shm; do",
      '  dd if=/dev/zero of=$d/fill bs=1M count=200 2>/dev/null; echo "$d $(($(stat -c %s $d/fill) / 1048576))"; rm -f $d/fill; done',
      "for d in / /root /etc /usr /agent /run /proctor /sys /proc /dev; do touch $d/x 2>/dev/null && echo writable $d; done; true",
    ].join("\n");
    expect((await text(script)).trim().split("\n")).toEqual([
      "/repo 64",
      "/tmp 64",
      "/var/tmp 64",
      "/home 64",
      "/task 64",
      "/dev/shm 64",
    ]);
    const docker = new Docker();
    const info = await docker.getContainer(sandbox.id).inspect({ size: true } as Docker.ContainerInspectOptions);
    expect((info as { SizeRw?: number }).SizeRw ?? 0).toBe(0);
  });

  it("R03 a file above the limit ends its writer, not the sandbox", async () => {
    await fresh();
    const result = await sandbox.run(bash("exec head -c 2M /dev/zero > /repo/big", { fileBytesMax: megabyte }));
    expect(result.outcome).toEqual({ kind: "signaled", signal: "SIGXFSZ" });
  });

  it("R04 descriptors, inodes, deep folders, pipes and SysV memory run out inside, and can be wiped", async () => {
    await fresh();
    const script = `
import os, itertools
def until_error(step):
    for i in itertools.count():
        try: step(i)
        except OSError as e: return i, e.errno
os.chdir('/var/tmp')
print('inodes', until_error(lambda i: os.close(os.open(f'f{i}', os.O_CREAT)))[0] < 20000)
os.chdir('/repo')
def deeper(i):
    os.mkdir('d'); os.chdir('d')
    if i >= 3000: raise OSError(0, 'enough')
print('deep', until_error(deeper)[0])
held = []
print('descriptors', until_error(lambda i: held.append(os.pipe()))[0] < 16384)
`;
    const result = await sandbox.run(bash("", { argv: ["python3", "-c", script], cwd: "/tmp" }));
    expect(result.output.text.split("\n")).toEqual(["inodes True", "deep 3000", "descriptors True", ""]);
    await sandbox.run(bash("chmod 000 /repo/d /var/tmp/f1; mkdir -p /tmp/a/b; chmod 000 /tmp/a/b /tmp/a"));
    await sandbox.endAll();
    const wiped = await sandbox.run(bash("exec /proctor/bin/wipe /repo /tmp /var/tmp /home /task /dev/shm"));
    expect(wiped.output.text).toBe("");
    expect(wiped.outcome).toEqual({ kind: "exited", exitCode: 0 });
    expect(await text("ls -A /repo /tmp /var/tmp | grep -v :")).toBe("\n\n");
  });

  it("wipe says what another uid left", async () => {
    await fresh();
    await sandbox.run(bash("touch /repo/mine", { user: "tests" }));
    const result = await sandbox.run(bash("exec /proctor/bin/wipe /repo"));
    expect(result.outcome).toEqual({ kind: "exited", exitCode: 1 });
    expect(result.output.text).toBe("wipe: /repo is not empty: mine stays\n");
  });

  it("R06 invalid UTF-8, ANSI, NUL and a character on the cut stay valid text, and counters are complete", async () => {
    await fresh();
    const bytes = "printf '\\xff\\xfe\\033[31mred\\000\\xf0\\x9f\\x98'";
    const odd = await sandbox.run(bash(bytes));
    expect(odd.output).toEqual({ text: "\ufffd\ufffd\u001b[31mred\u0000\ufffd", totalBytes: 14, truncated: false });
    const faces = await sandbox.run(
      bash("for i in $(seq 1000); do printf '\\U1F600'; done", { outputBytesMax: 1_001 }),
    );
    expect(faces.output.totalBytes).toBe(4_000);
    expect(faces.output.text).toBe(
      `${"😀".repeat(125)}\n... [truncated at 1001 bytes, total 4000]\n${"😀".repeat(125)}`,
    );
  });

  it("stdout and stderr can be opened by name", async () => {
    await fresh();
    // two pipes: the order between them is not promised
    const printed = await text("echo a > /dev/stdout; echo b > /dev/stderr; echo c | tee /dev/stderr");
    expect(printed.trim().split("\n").sort()).toEqual(["a", "b", "c", "c"]);
  });

  it("10 GB of output grow the server's memory by less than 16 MB", async () => {
    const probe = join(import.meta.dirname, "flood-probe.ts");
    const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", probe]);
    const result = JSON.parse(stdout) as { outcome: unknown; totalBytes: number; grownBytes: number };
    expect(result.outcome).toEqual({ kind: "exited", exitCode: 0 });
    expect(result.totalBytes).toBe(10 * 1024 ** 3);
    expect(result.grownBytes).toBeLessThan(16 * megabyte);
  });

  it("a kept tail larger than every buffer arrives whole and at once, not with the next heartbeat", async () => {
    await fresh();
    for (let i = 0; i < 20; i++) {
      const print = bash("head -c 20000000 /dev/zero", { outputBytesMax: 8 * megabyte });
      const { output, durationMs } = await sandbox.run(print);
      expect(output).toMatchObject({ totalBytes: 20_000_000, truncated: true });
      expect(output.text.length).toBeGreaterThan(8 * megabyte);
      expect(durationMs).toBeLessThan(2_000);
    }
  });

  it("a stdin that nobody reads, and one longer than any buffer", async () => {
    await fresh();
    const big = Buffer.alloc(20 * megabyte, "x");
    const unread = await sandbox.run(bash("exit 3"), { stdin: big });
    expect(unread.outcome).toEqual({ kind: "exited", exitCode: 3 });
    const stalled = await sandbox.run(bash("sleep 600", { timeoutMs: 300 }), { stdin: big });
    expect(stalled.outcome).toEqual({ kind: "timedOut", limitMs: 300 });
    expect((await sandbox.run(bash("wc -c"), { stdin: big })).output.text.trim()).toBe(`${big.length}`);
  });

  it("F06 docker rm -f by hand is a platform fault", async () => {
    await fresh();
    const running = sandbox.run(bash("sleep 600")).catch((error: unknown) => error);
    await sandbox.run(bash("exit 0"));
    await new Docker().getContainer(sandbox.id).remove({ force: true });
    expect(await running).toMatchObject({ code: "sandbox_failed", isPlatformFault: true, isRetryable: true });
    await expect(sandbox.run(bash("exit 0"))).rejects.toMatchObject({ code: "sandbox_failed" });
  });

  it("F11 commands that end at once: every exit and every output is right", async () => {
    await fresh();
    for (let i = 0; i < 100; i++) {
      const result = await sandbox.run(bash(`echo ${i}; exit ${i % 7}`));
      expect(result.outcome).toEqual({ kind: "exited", exitCode: i % 7 });
      expect(result.output.text).toBe(`${i}\n`);
    }
  });

  it("F11 a container that ends at once is a platform fault and leaves nothing", async () => {
    const first = async () => (await open({ lifetimeMs: 1 })).run(bash("exit 0"));
    await expect(first()).rejects.toMatchObject({ code: "sandbox_failed", isPlatformFault: true });
    await Promise.all(opened.splice(0).map((made) => made.close()));
    expect(await subject.host.list(subject.instance)).toEqual([]);
  });

  it("its lifetime ends it from inside", async () => {
    await fresh({ lifetimeMs: 1_500 });
    const running = sandbox.run(bash("sleep 600"));
    await expect(running).rejects.toMatchObject({
      code: "sandbox_failed",
      message: expect.stringContaining("lifetime"),
    });
    const { State } = await new Docker().getContainer(sandbox.id).inspect();
    expect(State).toMatchObject({ Running: false, ExitCode: 66 });
  });

  it("F13 two servers on one engine see only their own", async () => {
    await fresh();
    const other = await makeSubject();
    try {
      await using theirs = await other.host.open(specOf(other.instance, other.image));
      const ours = (await subject.host.list(subject.instance)).map(({ id }) => id);
      expect(ours).toContain(sandbox.id);
      expect(ours).not.toContain(theirs.id);
    } finally {
      await other.dispose();
    }
    expect((await sandbox.run(bash("exit 0"))).outcome).toEqual({ kind: "exited", exitCode: 0 });
  });

  it("N01 has no network but its own loopback", async () => {
    await fresh();
    const script = "cat /proc/net/dev | tail -n +3 | cut -d: -f1; curl -s -m 2 http://1.1.1.1; echo $?";
    expect((await text(script)).replaceAll(" ", "").split("\n")).toEqual(["lo", "7", ""]);
    const server =
      "python3 -m http.server 8000 --bind localhost >/dev/null 2>&1 & sleep 1; curl -s -o /dev/null -w '%{http_code}' localhost:8000";
    expect(await text(server)).toBe("200");
  });

  it("X01 finds nothing of the server in its environment, hostname or mounts", async () => {
    await fresh();
    expect(await text("exec 2>&1; /usr/bin/env -u PWD -u SHLVL -u _ | sort; hostname")).toBe(
      "HOME=/root\nLANG=C.UTF-8\nPATH=/usr/local/bin:/usr/bin:/bin\nsandbox\n",
    );
  });

  it("aborts while it floods, again and again, leave the sandbox usable", async () => {
    await fresh();
    for (let i = 0; i < 50; i++) {
      const controller = new AbortController();
      const onOutput = () => controller.abort(new Error("enough"));
      await expect(sandbox.run(bash("yes"), { signal: controller.signal, onOutput })).rejects.toThrow("enough");
    }
    expect(await others()).toBe("");
  });

  it("a sandbox whose server was killed ends at once, and one whose server hangs by its dead-man timer", async () => {
    const script = join(import.meta.dirname, "orphan-probe.ts");
    const docker = new Docker();
    const probe = async (mode: string) => {
      const child = execFile(process.execPath, [script, subject.instance, mode]);
      const id = await new Promise<string>((resolve) =>
        child.stdout?.once("data", (data) => resolve(`${data}`.trim())),
      );
      const startedMs = systemClock.monotonicMs();
      const ended = docker.getContainer(id).wait();
      child.kill(mode === "killed" ? "SIGKILL" : "SIGSTOP");
      const { StatusCode } = (await ended) as { StatusCode: number };
      child.kill("SIGKILL");
      await subject.host.remove(id);
      return { StatusCode, tookMs: systemClock.monotonicMs() - startedMs };
    };
    const killed = await probe("killed");
    expect(killed.StatusCode).toBe(67);
    expect(killed.tookMs).toBeLessThan(1_900);
    const hung = await probe("hung");
    expect(hung.StatusCode).toBe(65);
    expect(hung.tookMs).toBeLessThan(4_000);
  });
});
