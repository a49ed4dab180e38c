import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import type { ExitReport } from "../../../src/sandbox/docker/frames.ts";
import { type HostAction, notStartedText, outcomeOf } from "../../../src/sandbox/docker/outcome.ts";
import { bash, megabyte, specOf } from "../contract.ts";

const exited: ExitReport = {
  flooded: false,
  killed: false,
  notStarted: undefined,
  exitCode: 0,
  signal: 0,
  stdoutBytes: 0,
  stderrBytes: 0,
  cpuUs: 0,
  memoryPeakBytes: 0,
  oomKills: 0,
};
const command = bash("x", { timeoutMs: 5, floodBytesMax: 9 });
const spec = specOf("i", "image");
const killed = { exitCode: -1, signal: 9 };

describe("outcome of a command", () => {
  it.each<{ why: string; report: Partial<ExitReport>; action?: HostAction; outcome: object }>([
    { why: "success", report: {}, outcome: { kind: "exited", exitCode: 0 } },
    { why: "a code", report: { exitCode: 137 }, outcome: { kind: "exited", exitCode: 137 } },
    {
      why: "its own signal",
      report: { exitCode: -1, signal: 11 },
      outcome: { kind: "signaled", signal: "SIGSEGV" },
    },
    { why: "an abort", report: { exitCode: -1, signal: 6 }, outcome: { kind: "signaled", signal: "SIGABRT" } },
    { why: "a real-time signal", report: { exitCode: -1, signal: 40 }, outcome: { kind: "signaled", signal: "SIG40" } },
    {
      why: "our kill at the timeout",
      report: { ...killed, killed: true },
      action: "timeout",
      outcome: { kind: "timedOut", limitMs: 5 },
    },
    {
      why: "exit 0 in the moment of our kill is no success: its time was up",
      report: { killed: true },
      action: "timeout",
      outcome: { kind: "timedOut", limitMs: 5 },
    },
    {
      why: "it ended by itself before our kill arrived",
      report: { exitCode: 1 },
      action: "timeout",
      outcome: { kind: "exited", exitCode: 1 },
    },
    {
      why: "our kill for the disk",
      report: { ...killed, killed: true },
      action: "disk",
      outcome: { kind: "diskExhausted", limitBytes: 128 * megabyte },
    },
    { why: "endAll", report: { ...killed, killed: true }, outcome: { kind: "signaled", signal: "SIGKILL" } },
    { why: "a flood", report: { ...killed, flooded: true }, outcome: { kind: "flooded", limitBytes: 9 } },
    {
      why: "a flood that the timeout met",
      report: { ...killed, flooded: true, killed: true },
      action: "timeout",
      outcome: { kind: "flooded", limitBytes: 9 },
    },
    {
      why: "killed by the kernel for memory",
      report: { ...killed, oomKills: 1 },
      outcome: { kind: "outOfMemory", limitBytes: 256 * megabyte },
    },
    { why: "killed without memory", report: killed, outcome: { kind: "signaled", signal: "SIGKILL" } },
    { why: "a child went for memory, it lived", report: { oomKills: 3 }, outcome: { kind: "exited", exitCode: 0 } },
    {
      why: "a timeout while children went for memory",
      report: { ...killed, killed: true, oomKills: 3 },
      action: "timeout",
      outcome: { kind: "timedOut", limitMs: 5 },
    },
    {
      why: "no such program",
      report: { notStarted: { stage: "exec", errno: constants.errno.ENOENT } },
      outcome: { kind: "exited", exitCode: 127 },
    },
    {
      why: "a program that may not run",
      report: { notStarted: { stage: "exec", errno: constants.errno.EACCES } },
      outcome: { kind: "exited", exitCode: 126 },
    },
    {
      why: "a folder that is gone",
      report: { notStarted: { stage: "chdir", errno: constants.errno.ENOENT } },
      outcome: { kind: "exited", exitCode: 126 },
    },
  ])("$why", ({ report, action, outcome }) => {
    expect(outcomeOf({ ...exited, ...report }, action, command, spec)).toEqual(outcome);
  });

  it.each(["pipes", "fork", "setup", "identity"] as const)(
    "a start that fails at %s is the platform's fault",
    (stage) => {
      const report = { ...exited, notStarted: { stage, errno: constants.errno.EAGAIN } };
      expect(() => outcomeOf(report, undefined, command, spec)).toThrow(
        expect.objectContaining({ code: "sandbox_failed", message: expect.stringContaining(`${stage}: EAGAIN`) }),
      );
    },
  );

  it("says in the output why it could not start", () => {
    const at = (stage: "exec" | "chdir") => ({ ...exited, notStarted: { stage, errno: constants.errno.ENOENT } });
    expect(notStartedText(at("exec"), command)).toBe("sandbox: bash: ENOENT\n");
    expect(notStartedText(at("chdir"), command)).toBe("sandbox: /repo: ENOENT\n");
    expect(notStartedText(exited, command)).toBe("");
  });
});
