/** `proctor pack`: a folder with `tasks/` and `agent_code/` into an archive, read back before it is called good. */
import { Command } from "commander";
import { packArchive } from "../../archive/pack.ts";
import { harmless } from "../terminal.ts";

export function packCommand(): Command {
  return new Command("pack")
    .description("pack a folder with tasks/ and agent_code/ into an archive")
    .argument("<dir>", "the folder")
    .option("--out <file>", "the archive; .tar.gz makes a gzipped tar, else a zip", "submission.zip")
    .option("--json", "print JSON")
    .action(async (dir: string, options: { out: string; json?: boolean }) => {
      const format = /\.t(ar\.)?gz$/.test(options.out) ? "tar.gz" : "zip";
      const { digest, sizeBytes, submission } = await packArchive(dir, options.out, { format });
      const tasks = submission.tasks.map(({ taskId }) => taskId);
      const result = {
        archive: options.out,
        sha256: digest,
        size_bytes: sizeBytes,
        language: submission.agent.language,
        tasks,
      };
      const text = options.json
        ? JSON.stringify(result)
        : harmless(
            `${options.out}: ${sizeBytes} bytes, sha256 ${digest}\nagent in ${submission.agent.language}, ${tasks.length} tasks: ${tasks.join(", ")}`,
          );
      process.stdout.write(`${text}\n`);
    });
}
