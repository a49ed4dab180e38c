/** The command line's entry: picks a subcommand, nothing else. The server's rooms are only loaded by `serve`. */
import { keygenCommand } from "./cli/commands/keygen.ts";
import { packCommand } from "./cli/commands/pack.ts";
import { serveCommand } from "./cli/commands/serve.ts";
import { submitCommand } from "./cli/commands/submit.ts";
import { runProgram } from "./cli/program.ts";
import { setupCommands } from "./setup/commands.ts";

await runProgram(
  [
    serveCommand(async (config) => (await import("./compose.ts")).startServer(config)),
    keygenCommand(),
    packCommand(),
    submitCommand(),
    ...setupCommands(),
  ],
  process.argv.slice(2),
);
