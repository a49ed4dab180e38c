/** The sandbox port's promises as one suite: run on the real engine and, with the programs scripted, on the fake. */
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AppError } from "../../src/kernel/errors.ts";
import type { Command, Sandbox, SandboxHost, SandboxSpec } from "../../src/sandbox/port.ts";
import type { FakeBehaviour, FakeScript } from "./fake-host.ts";

/** Programs of the suite: what bash does, and what the fake says it did. */
const programs = {
  "exit 0": {},
  "exit 7": { exitCode: 7 },
  "printf out; printf err >&2": { stdout: "out", stderr: "err" },
  cat: { echoesStdin: true },
  "sleep 600": { hangs: true },
  "yes 0123456789 | head -c 100000": { stdout: "0123456789\n".repeat(10_000).slice(0, 100_000) },
  "head -c 3000 /dev/zero": { stdout: Buffer.alloc(3000) },
  "kill -9 $$": { outcome: { kind: "signaled", signal: "SIGKILL" } },
} as const satisfies Record<string, FakeBehaviour>;

export type Program = keyof typeof programs;

/** Answers the suite's programs on the fake. */
export const contractScript: FakeScript = ({ command }) => programs[(command.argv[2] ?? "exit 0") as Program];

export const kilobyte = 1024;
export const megabyte = 1024 ** 2;

/** A spec that a test changes a part of. */
export function specOf(instance: string, image: string, change: Partial<SandboxSpec> = {}): SandboxSpec {
  return {
    labels: { instance, batch: "-", task: "-", attempt: 1, phase: "agent" },
    profile: "strict",
    image,
    network: "none",
    mounts: [],
    resources: { memoryBytes: 256 * megabyte, cpus: 1, pidsMax: 128, diskBytes: 128 * megabyte },
    lifetimeMs: 300_000,
    ...change,
  };
}

/** A bash command that a test changes a part of. */
export function bash(script: string, change: Partial<Command> = {}): Command {
  return {
    argv: ["bash", "-c", script],
    user: "agent",
    cwd: "/repo",
    env: { PATH: "/usr/local/bin:/usr/bin:/bin", HOME: "/root", LANG: "C.UTF-8" },
    timeoutMs: 30_000,
    outputBytesMax: megabyte,
    floodBytesMax: 1024 * megabyte,
    ...change,
  };
}

const program = (name: Program, change: Partial<Command> = {}) => bash(name, change);

export interface ContractSubject {
  readonly host: SandboxHost;
  readonly instance: string;
  readonly image: string;
  dispose(): Promise<void>;
}

export function describeSandboxHost(name: string, make: () => Promise<ContractSubject>): void {
  describe(`sandbox port on ${name}`, () => {
    let subject: ContractSubject;
    let shared: Sandbox;
    const open = (change: Partial<SandboxSpec> = {}) =>
      subject.host.open(specOf(subject.instance, subject.image, change));

    beforeAll(async () => {
      subject = await make();
      shared = await open();
    });
    afterAll(async () => {
      await shared?.close();
      await subject?.dispose();
    });

    it.each([
      { run: "exit 0", kind: "exited", exitCode: 0 },
      { run: "exit 7", kind: "exited", exitCode: 7 },
      { run: "kill -9 $$", kind: "signaled", signal: "SIGKILL" },
    ] as const)("$run is an outcome, not an error", async ({ run, ...outcome }) => {
      const result = await shared.run(program(run));
      expect(result.outcome).toEqual(outcome);
      expect(result.oomKills).toBe(0);
    });

    it("hands both streams over, live and in the result", async () => {
      const live: string[] = [];
      const result = await shared.run(program("printf out; printf err >&2"), {
        onOutput: (stream, text) => live.push(`${stream}:${text}`),
      });
      expect(live.sort()).toEqual(["stderr:err", "stdout:out"]);
      expect([...result.output.text].sort().join("")).toBe([..."outerr"].sort().join(""));
      expect(result.output).toMatchObject({ totalBytes: 6, truncated: false });
    });

    it("keeps head and tail around a marker line, and live text never exceeds the head", async () => {
      let liveBytes = 0;
      const result = await shared.run(program("yes 0123456789 | head -c 100000", { outputBytesMax: 2_000 }), {
        onOutput: (_, text) => {
          liveBytes += Buffer.byteLength(text);
        },
      });
      const lines = result.output.text.split("\n");
      expect(lines).toContain("... [truncated at 2000 bytes, total 100000]");
      expect(result.output).toMatchObject({ totalBytes: 100_000, truncated: true });
      expect(result.output.text.startsWith("0123456789\n")).toBe(true);
      expect(liveBytes).toBe(1_000);
      expect(result.outcome).toEqual({ kind: "exited", exitCode: 0 });
    });

    it("ends a flood", async () => {
      const result = await shared.run(program("yes 0123456789 | head -c 100000", { floodBytesMax: 50_000 }));
      expect(result.outcome).toEqual({ kind: "flooded", limitBytes: 50_000 });
    });

    it.each([
      { why: "a buffer", stdin: () => Buffer.from("from host") },
      { why: "a stream", stdin: () => Readable.from([Buffer.from("from "), Buffer.from("host")]) },
    ])("feeds stdin from $why and closes it", async ({ stdin }) => {
      const result = await shared.run(program("cat"), { stdin: stdin() });
      expect(result.output.text).toBe("from host");
    });

    it("gives an empty stdin where none is given", async () => {
      const result = await shared.run(program("cat"));
      expect(result).toMatchObject({ outcome: { kind: "exited", exitCode: 0 }, output: { text: "" } });
    });

    it("hands data over byte for byte, and says when it is only the beginning", async () => {
      const whole = await shared.runForData(program("head -c 3000 /dev/zero"));
      expect(whole.stdout.equals(Buffer.alloc(3000))).toBe(true);
      expect(whole.truncated).toBe(false);
      const part = await shared.runForData(program("head -c 3000 /dev/zero", { outputBytesMax: 1000 }));
      expect(part.stdout.length).toBe(1000);
      expect(part.truncated).toBe(true);
    });

    it("ends a command whose time is up", async () => {
      const result = await shared.run(program("sleep 600", { timeoutMs: 200 }));
      expect(result.outcome).toEqual({ kind: "timedOut", limitMs: 200 });
      expect(result.durationMs).toBeGreaterThanOrEqual(199);
      expect(result.durationMs).toBeLessThan(1_200);
    });

    it("runs commands together", async () => {
      const results = await Promise.all([
        shared.run(program("exit 7")),
        shared.run(program("cat")),
        shared.run(program("exit 0")),
      ]);
      expect(results.map(({ outcome }) => outcome.kind === "exited" && outcome.exitCode)).toEqual([7, 0, 0]);
    });

    it("a timeout of one command leaves another alone", async () => {
      const [late, fine] = await Promise.all([
        shared.run(program("sleep 600", { timeoutMs: 200 })),
        shared.run(program("sleep 600", { timeoutMs: 600 })),
      ]);
      expect(late.outcome).toEqual({ kind: "timedOut", limitMs: 200 });
      expect(fine.outcome).toEqual({ kind: "timedOut", limitMs: 600 });
    });

    it("an abort ends the command and rejects with the signal's reason; the sandbox stays usable", async () => {
      const controller = new AbortController();
      const running = shared.run(program("sleep 600"), { signal: controller.signal });
      controller.abort(new Error("told to"));
      await expect(running).rejects.toThrow("told to");
      expect((await shared.run(program("exit 0"))).outcome).toEqual({ kind: "exited", exitCode: 0 });
    });

    it("endAll ends what runs; what comes after runs", async () => {
      const running = shared.run(program("sleep 600"));
      await shared.run(program("exit 0"));
      await shared.endAll();
      expect((await running).outcome).toEqual({ kind: "signaled", signal: "SIGKILL" });
      expect((await shared.run(program("exit 7"))).outcome).toEqual({ kind: "exited", exitCode: 7 });
    });

    it("closing while a command runs rejects it as a platform fault; closing again is fine; nothing is left", async () => {
      const sandbox = await open();
      const running = sandbox.run(program("sleep 600")).catch((error: unknown) => error);
      await Promise.all([sandbox.close(), sandbox.close()]);
      await sandbox.close();
      const error = await running;
      expect(error).toBeInstanceOf(AppError);
      expect(error).toMatchObject({ code: "sandbox_failed", isPlatformFault: true, isRetryable: true });
      await expect(sandbox.run(program("exit 0"))).rejects.toMatchObject({ code: "sandbox_failed" });
      const left = await subject.host.list(subject.instance);
      expect(left.map(({ id }) => id)).not.toContain(sandbox.id);
    });

    it("refuses root in strict, and an open network", async () => {
      await expect(shared.run(program("exit 0", { user: "root" }))).rejects.toMatchObject({ code: "internal" });
      await expect(open({ network: "open" })).rejects.toMatchObject({ code: "internal" });
    });

    it("an image that is not there is said to be missing, and not retried", async () => {
      const opening = open({ image: "proctor/never-built:none" });
      await expect(opening).rejects.toMatchObject({ code: "image_missing", isRetryable: false });
    });

    it("an aborted open rejects with the reason and leaves nothing", async () => {
      const before = (await subject.host.list(subject.instance)).length;
      const opening = subject.host.open(
        specOf(subject.instance, subject.image),
        AbortSignal.abort(new Error("changed my mind")),
      );
      await expect(opening).rejects.toThrow("changed my mind");
      expect(await subject.host.list(subject.instance)).toHaveLength(before);
    });

    it("lists its instance's sandboxes only, and removes by id, twice", async () => {
      const sandbox = await open({
        labels: { instance: subject.instance, batch: "b1", task: "a/b", attempt: 3, phase: "tests" },
      });
      const listed = (await subject.host.list(subject.instance)).find(({ id }) => id === sandbox.id);
      expect(listed).toMatchObject({ running: true, labels: sandbox.spec.labels });
      expect(await subject.host.list(`${subject.instance}-other`)).toEqual([]);
      await subject.host.remove(sandbox.id);
      await subject.host.remove(sandbox.id);
      expect((await subject.host.list(subject.instance)).map(({ id }) => id)).not.toContain(sandbox.id);
      await sandbox.close();
    });

    it("volumes are made once, found and removed", async () => {
      const name = `${subject.instance}-volume`;
      const labels = { "proctor.instance": subject.instance };
      expect(await subject.host.hasVolume(name)).toBe(false);
      await subject.host.ensureVolume(name, labels);
      await subject.host.ensureVolume(name, labels);
      expect(await subject.host.hasVolume(name)).toBe(true);
      expect(await subject.host.listVolumes(labels)).toContain(name);
      expect(await subject.host.listVolumes({ ...labels, "proctor.kind": "other" })).not.toContain(name);
      await subject.host.removeVolume(name);
      await subject.host.removeVolume(name);
      expect(await subject.host.hasVolume(name)).toBe(false);
    });

    it("a build sandbox is kept as an image, found by name and id, and removed", async () => {
      const reference = `proctor/contract-${subject.instance}:kept`;
      const sandbox = await open({ profile: "build" });
      try {
        const kept = await subject.host.commit(sandbox, reference, { "proctor.instance": subject.instance });
        expect(kept.id).toMatch(/^sha256:[0-9a-f]{64}$/);
        expect(await subject.host.findImage(reference)).toEqual(kept);
        expect(await subject.host.findImage(kept.id)).toEqual(kept);
      } finally {
        await sandbox.close();
        await subject.host.removeImage(reference);
      }
      expect(await subject.host.findImage(reference)).toBeUndefined();
      await subject.host.removeImage(reference);
      await expect(subject.host.commit(shared, reference, {})).rejects.toMatchObject({ code: "internal" });
    });

    it("ping tells what the engine is", async () => {
      const info = await subject.host.ping();
      expect(info.version).not.toBe("");
      expect(info.runtimes.length).toBeGreaterThan(0);
    });
  });
}
