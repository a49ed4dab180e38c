/** The commands of a checkout: set-up, quickstart, tests, cleaning up. */
import { Command, Option } from "commander";
import { onInterrupt } from "../cli/interrupt.ts";
import { processTerminal } from "../cli/terminal.ts";
import { clean } from "./clean.ts";
import { type ExampleAgent, exampleAgents } from "./examples.ts";
import { quickstart, stopQuickstart } from "./quickstart.ts";
import { createReport } from "./report.ts";
import { runTests } from "./run-tests.ts";
import { setUp } from "./setup.ts";

export function setupCommands(): readonly Command[] {
  return [
    new Command("setup")
      .description("bring what this machine lacks: a Docker engine where none answers, the sandbox image")
      .option("--for-tests", "also what the tests need")
      .action(async (options: { forTests?: boolean }) => {
        using interrupt = onInterrupt();
        await setUp(createReport(), options.forTests === true ? "test" : "run", interrupt.signal);
      }),
    new Command("quickstart")
      .description("set up, start a server, submit the example archive, show what comes of it")
      .option("--once", "end the server afterwards; exit code 1 unless every verdict is the expected one")
      .option("--stop", "end what an earlier quickstart left running")
      .addOption(new Option("--agent <name>", "the example agent to submit").choices(exampleAgents).default("solver"))
      .action(async (options: { once?: boolean; stop?: boolean; agent: ExampleAgent }) => {
        using interrupt = onInterrupt();
        const report = createReport();
        // Awaited, not returned: `using` would give the signals back before the work has begun.
        if (options.stop === true) await stopQuickstart(report);
        else await quickstart(report, { agent: options.agent, once: options.once === true, signal: interrupt.signal });
      }),
    new Command("test").description("set up and run every check and test").action(async () => {
      using interrupt = onInterrupt();
      // On stdout altogether: the count must be the last line whatever the streams are joined to.
      await runTests(createReport(processTerminal(process.stdout)), interrupt.signal);
    }),
    new Command("clean")
      .description("remove every container, image, volume, network and file of Proctor from this machine")
      .option("--yes", "do not ask")
      .action((options: { yes?: boolean }) => clean(createReport(), { yes: options.yes === true })),
  ];
}
