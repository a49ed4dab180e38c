/** From what the supervisor reported and what the host itself did to the outcome of a command: pure. */
import { constants } from "node:os";
import { AppError } from "../../kernel/errors.ts";
import type { Outcome } from "../../kernel/outcome.ts";
import type { Command, SandboxSpec } from "../port.ts";
import type { ExitReport } from "./frames.ts";

/** Why the host ended a command. */
export type HostAction = "timeout" | "disk" | undefined;

const signalNames = namesByNumber(constants.signals);
const errnoNames = namesByNumber(constants.errno);

/** Some numbers have two names; the one that stands first is the usual one (SIGABRT, EAGAIN). */
function namesByNumber(numbers: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(
    Object.entries(numbers)
      .reverse()
      .map(([name, number]) => [number, name]),
  );
}

/** @returns the outcome; the host's own limits win only where the supervisor confirms that they ended it
 *  @throws AppError `sandbox_failed` where the command could not be started for a reason that is not its own */
export function outcomeOf(report: ExitReport, action: HostAction, command: Command, spec: SandboxSpec): Outcome {
  if (report.notStarted !== undefined) return notStartedOutcome(report.notStarted, command);
  if (report.flooded) return { kind: "flooded", limitBytes: command.floodBytesMax };
  if (report.killed && action !== undefined) return outcomeOfAction(action, command, spec);
  if (report.signal === 0) return { kind: "exited", exitCode: report.exitCode };
  const wasKilledByKernel = report.signal === constants.signals.SIGKILL && !report.killed && report.oomKills > 0;
  if (wasKilledByKernel) return { kind: "outOfMemory", limitBytes: spec.resources.memoryBytes };
  return { kind: "signaled", signal: signalNames.get(report.signal) ?? `SIG${report.signal}` };
}

/** The outcome of a command that the host had to end together with its sandbox. */
export function outcomeOfAction(action: "timeout" | "disk", command: Command, spec: SandboxSpec): Outcome {
  return action === "timeout"
    ? { kind: "timedOut", limitMs: command.timeoutMs }
    : { kind: "diskExhausted", limitBytes: spec.resources.diskBytes };
}

/** A program that is not there, or may not run, is the command's own affair: as a shell would say it, 127 or 126. */
function notStartedOutcome({ stage, errno }: NonNullable<ExitReport["notStarted"]>, command: Command): Outcome {
  const name = errnoNames.get(errno) ?? `errno ${errno}`;
  switch (stage) {
    case "exec":
      return { kind: "exited", exitCode: name === "ENOENT" ? 127 : 126 };
    case "chdir":
      return { kind: "exited", exitCode: 126 };
    default:
      throw new AppError("sandbox_failed", `the sandbox could not start ${command.argv[0]}: ${stage}: ${name}`);
  }
}

/** One line for the output of a command that could not be started; empty for one that could. */
export function notStartedText(report: ExitReport, command: Command): string {
  if (report.notStarted === undefined) return "";
  const { stage, errno } = report.notStarted;
  const subject = stage === "chdir" ? command.cwd : command.argv[0];
  return `sandbox: ${subject}: ${errnoNames.get(errno) ?? errno}\n`;
}
