/** `proctor submit`: one signed vote for an archive, and its batch followed to the end where asked. */
import { Command, InvalidArgumentError, Option } from "commander";
import { readSigner } from "../../admission/keys.ts";
import { systemClock } from "../../kernel/clock.ts";
import { follow } from "../client/follow.ts";
import { parseServer, type Server } from "../client/http.ts";
import { submit } from "../client/submit.ts";
import type { Accepted } from "../client/wire.ts";
import { CliError } from "../errors.ts";
import { onInterrupt } from "../interrupt.ts";
import { createProgressView } from "../progress.ts";
import { readResults, resultsTable } from "../results.ts";
import { harmlessLine, processTerminal } from "../terminal.ts";

interface Options {
  readonly key: string;
  readonly server: string;
  readonly concurrentTasks?: number;
  readonly signatureVersion: "1" | "2";
  readonly watch?: boolean;
  readonly json?: boolean;
}

export function submitCommand(): Command {
  return new Command("submit")
    .description(
      "sign an archive and submit it as one vote; PROCTOR_TOKEN is sent to servers that ask readers for a token",
    )
    .argument("<archive>", 'a zip or tar.gz, as "proctor pack" makes it')
    .requiredOption("--key <file>", 'key file of a validator, as "proctor keygen" makes it')
    .option("--server <url>", "address of the server", "http://127.0.0.1:8080")
    .option("--concurrent-tasks <count>", "tasks that should run at once; the server has the last word", parseCount)
    .addOption(
      new Option("--signature-version <version>", "2 binds the signature to this archive and server")
        .choices(["1", "2"])
        .default("2"),
    )
    .option("--watch", "follow the batch to its end; exit code 1 unless every task passed")
    .option("--json", "print JSON: the server's answer, and with --watch each event and the results, a line each")
    .action(async (archive: string, options: Options) => {
      using interrupt = onInterrupt();
      const server = parseServer(options.server, process.env.PROCTOR_TOKEN || undefined);
      const accepted = await submit({
        server,
        archive,
        signer: await readSigner(options.key),
        signatureVersion: options.signatureVersion === "1" ? 1 : 2,
        nowMs: systemClock.now(),
        signal: interrupt.signal,
        ...(options.concurrentTasks === undefined ? {} : { concurrentTasks: options.concurrentTasks }),
      });
      process.stdout.write(`${options.json ? JSON.stringify(accepted) : acceptedText(accepted)}\n`);
      if (options.watch) await watch(server, accepted, options.json === true, interrupt.signal);
    });
}

function acceptedText(accepted: Accepted): string {
  const state = accepted.consensus_reached ? "quorum reached" : "waiting for further votes";
  const note = accepted.note === undefined ? "" : `\n${harmlessLine(accepted.note, 200)}`;
  return `batch ${accepted.batch_id}\n${accepted.votes} of ${accepted.required} votes, ${state}; ${accepted.total_tasks} tasks${note}`;
}

async function watch(server: Server, accepted: Accepted, json: boolean, signal: AbortSignal): Promise<void> {
  const terminal = json ? { isTTY: false, columns: 100, write: () => {} } : processTerminal();
  {
    using view = createProgressView(terminal, () => systemClock.monotonicMs());
    for await (const event of follow(server, accepted.batch_id, systemClock, signal)) {
      view.show(event);
      if (json) process.stdout.write(`${JSON.stringify(event)}\n`);
    }
  }
  const result = await readResults(server, accepted.batch_id, signal);
  process.stdout.write(json ? `${JSON.stringify(result)}\n` : `\n${resultsTable(result.tasks)}\n`);
  const passedAll = result.status === "completed" && result.tasks.every(({ passed }) => passed === true);
  if (!passedAll) {
    throw new CliError(
      "negative",
      `batch ${result.status}${result.error === null ? "" : ` (${result.error})`}: not every task passed`,
    );
  }
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("it must be a whole number from 1 to 999999.");
  return Number(text);
}
