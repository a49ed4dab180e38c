import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/kernel/clock.ts";
import {
  encodeFrame,
  frameIn,
  frameOut,
  type RunRequest,
  stdinWindowBytes,
} from "../../../src/sandbox/docker/frames.ts";
import { SupervisorLink } from "../../../src/sandbox/docker/link.ts";
import { exitBody, ScriptedSupervisor } from "./supervisor-script.ts";

const request: RunRequest = {
  uid: 10_001,
  gid: 10_001,
  argv: ["true"],
  env: { A: "b" },
  cwd: "/repo",
  hasStdin: false,
  isData: false,
  headBytesMax: 4,
  tailBytesMax: 4,
  floodBytesMax: 1_000,
  fileBytesMax: 1_000,
  openFilesMax: 100,
};
const silent = { onOutput: () => {} };

function connect(heartbeatMs = 60_000) {
  const far = new ScriptedSupervisor();
  const link = new SupervisorLink(far, { clock: systemClock, heartbeatMs, missedMax: 3 });
  return { far, link };
}

function start(change: Partial<RunRequest> = {}) {
  const { far, link } = connect();
  far.hello();
  const running = link.run({ ...request, ...change }, silent);
  return { far, link, ...running };
}

describe("a supervisor that keeps to the protocol", () => {
  it("gives head, tail and the end of a command, whatever the chunks", async () => {
    const { far, link } = connect();
    const all: Buffer[] = [];
    const { id, end } = link.run(request, { onOutput: (stream, bytes) => all.push(Buffer.from(`${stream}:${bytes}`)) });
    const script = [
      encodeFrame(frameOut.hello, 0, Buffer.from("version=1\n")),
      encodeFrame(frameOut.out, id, Buffer.from("\u0001ab")),
      encodeFrame(frameOut.out, id, Buffer.from("\u0002cd")),
      encodeFrame(frameOut.tail, id, Buffer.from("wxyz")),
      encodeFrame(frameOut.exit, id, exitBody({ code: 3, stdoutBytes: 90, stderrBytes: 10, oomKills: 2 })),
    ];
    for (const byte of Buffer.concat(script)) far.raw(Buffer.of(byte));
    const { report, tail } = await end;
    expect(report).toMatchObject({
      exitCode: 3,
      signal: 0,
      stdoutBytes: 90,
      stderrBytes: 10,
      oomKills: 2,
      killed: false,
    });
    expect(Buffer.concat(all).toString()).toBe("stdout:abstderr:cd");
    expect(tail.toString()).toBe("wxyz");
  });

  it("never has more stdin in flight than was granted", async () => {
    const { far, link } = connect();
    far.hello();
    const size = stdinWindowBytes * 3 + 5;
    const { id, end } = link.run({ ...request, hasStdin: true }, silent, Buffer.alloc(size));
    const sent = () =>
      far.heard.filter(({ type }) => type === frameIn.stdin).reduce((sum, f) => sum + f.payload.length, 0);
    const ended = far.next(frameIn.stdinEnd);
    for (let granted = stdinWindowBytes; granted < size; granted += stdinWindowBytes) {
      while (sent() < granted) await far.next(frameIn.stdin);
      await new Promise((resolve) => setImmediate(resolve));
      expect(sent()).toBe(granted);
      const credit = Buffer.alloc(4);
      credit.writeUInt32LE(stdinWindowBytes);
      far.say(frameOut.credit, id, credit);
    }
    await ended;
    expect(sent()).toBe(size);
    far.exit(id);
    expect((await end).report.exitCode).toBe(0);
  });

  it("answers endAll when every command was told to have ended", async () => {
    const { far, link, id, end } = start();
    const all = link.endAll();
    far.exit(id, { flags: 2, code: -1, signal: 9 });
    far.say(frameOut.ended);
    await all;
    expect((await end).report).toMatchObject({ killed: true, signal: 9 });
  });
});

describe("a supervisor that speaks out of turn", () => {
  const credit = (bytes: number) => {
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(bytes);
    return payload;
  };
  it.each<[why: string, speak: (far: ScriptedSupervisor, id: number) => void]>([
    ["a second hello", (far) => far.hello()],
    ["an exit of a command that never was", (far, id) => far.exit(id + 1)],
    [
      "an exit twice",
      (far, id) => {
        far.exit(id);
        far.exit(id);
      },
    ],
    [
      "output after the exit",
      (far, id) => {
        far.exit(id);
        far.out(id, "x");
      },
    ],
    ["more output than the head", (far, id) => far.out(id, "12345")],
    [
      "more output than the head, in two streams",
      (far, id) => {
        far.out(id, "123", 1);
        far.out(id, "45", 2);
      },
    ],
    ["output of a third stream", (far, id) => far.out(id, "x", 3)],
    ["output without bytes", (far, id) => far.say(frameOut.out, id, Buffer.of(1))],
    ["more tail than was asked for", (far, id) => far.say(frameOut.tail, id, Buffer.from("12345"))],
    [
      "output after the tail",
      (far, id) => {
        far.say(frameOut.tail, id, Buffer.from("1"));
        far.out(id, "1");
      },
    ],
    ["an exit that hides output", (far, id) => far.exit(id, { stdoutBytes: 3 })],
    [
      "an exit that counts too little",
      (far, id) => {
        far.out(id, "1234");
        far.exit(id, { stdoutBytes: 3 });
      },
    ],
    [
      "an exit without its tail",
      (far, id) => {
        far.out(id, "1234");
        far.exit(id, { stdoutBytes: 6 });
      },
    ],
    ["killed without being asked", (far, id) => far.exit(id, { flags: 2, code: -1, signal: 9 })],
    ["an exit code that no process has", (far, id) => far.exit(id, { code: 256 })],
    ["a negative exit code", (far, id) => far.exit(id, { code: -1 })],
    ["a signal that does not exist", (far, id) => far.exit(id, { code: -1, signal: 65 })],
    ["unknown flags", (far, id) => far.exit(id, { flags: 8 })],
    ["a stage without the flag", (far, id) => far.exit(id, { stage: 2 })],
    ["an exit that is too short", (far, id) => far.say(frameOut.exit, id, exitBody().subarray(1))],
    ["an exit that is too long", (far, id) => far.say(frameOut.exit, id, Buffer.concat([exitBody(), Buffer.of(0)]))],
    ["all ended while one runs", (far) => far.say(frameOut.ended)],
    ["an answer to no ping", (far) => far.say(frameOut.pong)],
    ["credit for a command without stdin", (far, id) => far.say(frameOut.credit, id, credit(1))],
    ["an unknown frame", (far, id) => far.say(200, id)],
    ["a frame of the host's", (far, id) => far.say(frameIn.run, id)],
    ["a frame of 4 GB", (far) => far.raw(Buffer.from("ffffffff4200000000", "hex"))],
    ["a frame one byte too long", (far, id) => far.say(frameOut.out, id, Buffer.alloc(32 * 1024 + 1, 1))],
    ["text on its stdout", (far) => far.raw(Buffer.from("PASS all tests passed\n"))],
    ["a stream number of no engine", (far) => far.raw(Buffer.from("x"), 7)],
  ])("%s ends the line, and is a platform fault", async (_why, speak) => {
    const { far, link, id, end } = start();
    const first = end.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    speak(far, id);
    const error = await link.dead;
    expect(error).toMatchObject({ code: "sandbox_failed", isPlatformFault: true });
    expect(error.message).toMatch(/out of turn/);
    expect(() => link.run(request, silent)).toThrow(error);
    const settled = await first;
    if ("error" in settled) expect(settled.error).toBe(error);
    else expect(settled.value.report.exitCode).toBe(0);
  });

  it.each([
    ["says something before hello", (far: ScriptedSupervisor) => far.out(1, "x")],
    ["speaks another version", (far: ScriptedSupervisor) => far.hello("version=2\n")],
    ["says a hello that is no list", (far: ScriptedSupervisor) => far.hello("version=1\nnonsense\n")],
    ["closes the connection", (far: ScriptedSupervisor) => far.push(null)],
    ["breaks the connection", (far: ScriptedSupervisor) => far.destroy(new Error("reset"))],
  ])("one that %s is never taken", async (_why, speak) => {
    const { far, link } = connect();
    speak(far);
    await expect(link.hello).rejects.toMatchObject({ code: "sandbox_failed" });
  });

  it("one that falls silent is given up after the missed heartbeats", async () => {
    const { far, link } = connect(5);
    far.hello();
    const { end } = link.run(request, silent);
    await expect(end).rejects.toMatchObject({ code: "sandbox_failed", message: "no sign of life for 15 ms" });
    expect(far.heard.filter(({ type }) => type === frameIn.ping)).toHaveLength(3);
    expect(await link.dead).toBeDefined();
  });

  it("one that answers its heartbeats lives on", async () => {
    const { far, link } = connect(2);
    far.hello();
    for (let i = 0; i < 10; i++) {
      await far.next(frameIn.ping);
      far.say(frameOut.pong);
    }
    link.throwIfDead();
    link.fail("done");
  });

  it("its last words on stderr are in the error, bounded and printable", async () => {
    const { far, link } = connect();
    far.hello();
    far.raw(Buffer.from(`supervisor: lifetime passed\u001b[31m${"x".repeat(100_000)}`), 2);
    far.push(null);
    const { message } = await link.dead;
    expect(message).toContain("it said: supervisor: lifetime passed?[31m");
    expect(message.length).toBeLessThan(2_300);
  });
});
