/** `proctor serve`: settings from flags, environment, file and defaults into one Config, and the server's life around it. */
import { Command } from "commander";
import { type Config, loadConfig, type SettingName, settings } from "../../config.ts";
import { onInterrupt } from "../interrupt.ts";

/** What the composition root offers. */
export interface RunningServer {
  readonly address: string;
  /** Drains and ends; a second call waits for the first. */
  close(): Promise<void>;
}
export type StartServer = (config: Config) => Promise<RunningServer>;

/** `MAX_CONCURRENT_TASKS` → `max-concurrent-tasks` */
const flagOf = (name: string) => name.toLowerCase().replaceAll("_", "-");

/** commander's name for the value of that flag: `maxConcurrentTasks` */
const attributeOf = (name: string) => flagOf(name).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** One flag a setting; secrets have none, because every user of a machine sees its command lines. */
export function serveCommand(startServer: StartServer): Command {
  const command = new Command("serve")
    .description("start the server; each flag is a setting of the README's table")
    .option("--config <file>", "JSON file of settings");
  const names = (Object.keys(settings) as SettingName[]).filter((name) => !("secret" in settings[name]));
  for (const name of names) {
    const { help, fallback }: { help: string; fallback: string | number } = settings[name];
    const shown = fallback === "" ? "" : ` (default: ${fallback})`;
    command.option(`--${flagOf(name)} <value>`, `${help}${shown}`);
  }
  return command.action(async (options: Record<string, string | undefined>) => {
    const flags = Object.fromEntries(names.map((name) => [name, options[attributeOf(name)]]));
    const file = options.config ?? process.env.CONFIG_FILE;
    const config = loadConfig({ flags, environment: process.env, ...(file === undefined ? {} : { file }) });
    await serve(config, startServer);
  });
}

async function serve(config: Config, startServer: StartServer): Promise<void> {
  using interrupt = onInterrupt();
  const server = await startServer(config);
  if (process.stderr.isTTY) process.stderr.write(`proctor listens at ${server.address}; Ctrl-C drains and ends it\n`);
  if (!interrupt.signal.aborted) {
    await new Promise<void>((resolve) => interrupt.signal.addEventListener("abort", () => resolve(), { once: true }));
  }
  await server.close();
  process.exit(0); // drained: whatever a library still holds open must not keep the process
}
