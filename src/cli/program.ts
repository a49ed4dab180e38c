/** The command `proctor`: its subcommands, its one place for errors and exit codes. */
import { Command, CommanderError } from "commander";
import { version } from "../version.ts";
import { describeError, exitCodeOf } from "./errors.ts";
import { exitCodes } from "./exit-codes.ts";

/** Runs the command line to its end and sets the exit code. Never throws. */
export async function runProgram(commands: readonly Command[], argv: readonly string[]): Promise<void> {
  const program = new Command("proctor")
    .description("Runs untrusted AI agents against hidden tests in disposable containers.")
    .version(version, "-V, --version")
    .addHelpText("after", `\nExit codes:\n${exitCodeLines()}`);
  for (const command of commands) program.addCommand(command);
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .showHelpAfterError(`(see "${command === program ? "" : "proctor "}${command.name()} --help")`);
  }
  try {
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version arrive here too, with code 0; commander has printed what there was to say.
      process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage.code;
      return;
    }
    process.stderr.write(`${describeError(error)}\n`);
    process.exitCode = exitCodeOf(error);
  }
}

function exitCodeLines(): string {
  return Object.values(exitCodes)
    .map(({ code, means }) => `  ${String(code).padStart(3)}  ${means}`)
    .join("\n");
}
