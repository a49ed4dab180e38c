/** `proctor keygen`: a new hotkey in a file that only its owner reads. */
import { Command } from "commander";
import { createKeyFile } from "../../admission/keys.ts";

export function keygenCommand(): Command {
  return new Command("keygen")
    .description("make a new hotkey and keep it in a file (mode 0600); an existing file is not touched")
    .argument("[file]", "where to keep it", "hotkey.json")
    .option("--json", "print JSON")
    .action(async (file: string, options: { json?: boolean }) => {
      const { hotkey } = await createKeyFile(file);
      const text = options.json
        ? JSON.stringify({ hotkey, file })
        : `${hotkey}\nkept in ${file}; whoever reads it can vote as you`;
      process.stdout.write(`${text}\n`);
    });
}
