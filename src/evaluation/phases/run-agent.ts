/** The agent phase: the repository and the prompt in place, then the agent's one command. */
import { succeeded } from "../../kernel/outcome.ts";
import type { CommandResult, OutputListener, Sandbox } from "../../sandbox/port.ts";
import { agentArgv, dependencyEnvironment } from "../agent-command.ts";
import { places } from "../places.ts";
import type { AttemptInput } from "../port.ts";
import { agentEnvironment } from "../runtime-environment.ts";
import type { EvaluationSettings } from "../settings.ts";
import { putFiles, stepFailure } from "../steps.ts";
import { fillRepo } from "./workspace.ts";

/** Brings what the agent may see. The prompt is written by another uid, so that what it says stays what was asked. */
export async function bringTask(sandbox: Sandbox, input: AttemptInput, signal: AbortSignal): Promise<void> {
  await fillRepo(sandbox, "agent", signal);
  const prompt = { path: "prompt.md", kind: "file", content: Buffer.from(input.task.prompt), mode: 0o444 } as const;
  const name = "bring the prompt";
  const put = await putFiles(sandbox, { name, user: "tests", folder: places.task }, [prompt], signal);
  if (!succeeded(put.outcome)) throw stepFailure(name, put.outcome, put.output);
}

export function runAgent(
  sandbox: Sandbox,
  input: AttemptInput,
  baseCommit: string,
  settings: EvaluationSettings,
  options: { readonly signal: AbortSignal; readonly onOutput: OutputListener },
): Promise<CommandResult> {
  return sandbox.run(
    {
      argv: agentArgv(input.agent, input.task.prompt),
      user: "agent",
      cwd: places.repo,
      env: {
        ...agentEnvironment(input, baseCommit, settings.agentTimeoutMs),
        ...dependencyEnvironment(input.agent),
      },
      timeoutMs: settings.agentTimeoutMs,
      outputBytesMax: settings.outputBytesMax,
      floodBytesMax: settings.floodBytesMax,
    },
    options,
  );
}

/** Limits that a command met and lived through, one sentence each. */
export function notesOf(name: string, result: CommandResult): string[] {
  const notes: string[] = [];
  if (result.oomKills > 0) notes.push(`${name}: ${result.oomKills} of its processes were killed for memory.`);
  if (result.output.truncated) notes.push(`${name}: its output of ${result.output.totalBytes} bytes was cut.`);
  if (result.outcome.kind === "signaled") notes.push(`${name} was ended by ${result.outcome.signal}.`);
  return notes;
}
