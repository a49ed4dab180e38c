/**
 * `quickstart`: from nothing to judged tasks. Set-up, a server of its own on the embedded store with three development
 * validators, the example archive signed and submitted by each until quorum, live progress, a table. The server stays
 * and is used again by the next run; each run submits an archive of its own, so that it is evaluated afresh.
 */
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readSigner } from "../admission/keys.ts";
import { packArchive } from "../archive/pack.ts";
import { follow } from "../cli/client/follow.ts";
import { parseServer, type Server } from "../cli/client/http.ts";
import { submit } from "../cli/client/submit.ts";
import { CliError } from "../cli/errors.ts";
import { createProgressView } from "../cli/progress.ts";
import { type BatchResult, readResults, resultsTable } from "../cli/results.ts";
import { processTerminal } from "../cli/terminal.ts";
import { settings } from "../config.ts";
import { systemClock } from "../kernel/clock.ts";
import { ensureDevelopmentKeys } from "./development-keys.ts";
import { type Engine, stopOurEngine } from "./engine.ts";
import {
  type ExampleAgent,
  loadExpected,
  materialiseRepositories,
  repositoryTemplate,
  stageSubmission,
} from "./examples.ts";
import { withLock } from "./lock.ts";
import { hostCaFile, images, paths } from "./paths.ts";
import type { Report } from "./report.ts";
import { endServer, findServer, fingerprintOf, freePort, isReady, startServer } from "./server-process.ts";
import { setUp } from "./setup.ts";

const LOCK_WAIT_MS = 900_000;
/** The validators' keys are for development: nobody else's machine has business with this server. */
const HOST = "127.0.0.1";
/** settings of the caller's environment that the quickstart server takes over; it sets or leaves out the others */
const passedOn = /^(DOCKER_HOST|LOG_LEVEL|SANDBOX_RUNTIME|TASK_\w+|MAX_CONCURRENT_TASKS|\w+_TIMEOUT_SECS)$/;

export interface QuickstartOptions {
  readonly agent: ExampleAgent;
  /** end the server afterwards, and the engine where this run started it */
  readonly once: boolean;
  readonly signal: AbortSignal;
}

/** Runs the whole path. @throws CliError `negative` where a verdict is not the expected one */
export async function quickstart(report: Report, options: QuickstartOptions): Promise<void> {
  const onWait = (holder: number) => report.line(`  waiting for the quickstart of process ${holder}`);
  await withLock(paths.quickstartLock, LOCK_WAIT_MS, onWait, async () => {
    let engine: Engine | undefined;
    try {
      engine = await setUp(report, "run", options.signal);
      const server = await ensureServer(report, engine);
      const result = await runExample(report, server, options);
      sayHowItEnded(report, server, result, options);
    } finally {
      if (options.once) {
        await report.step("server ended", () => endServer());
        if (engine?.startedNow === true) await report.step("engine ended", () => stopOurEngine());
      }
    }
  });
}

/** Ends what a quickstart left: its server, and the engine that set-up started. Images and data stay for the next. */
export async function stopQuickstart(report: Report): Promise<void> {
  report.line((await endServer()) ? "the server has ended" : "no server of quickstart runs");
  if (await stopOurEngine()) report.line("the Docker engine that set-up started has ended");
}

async function ensureServer(report: Report, engine: Engine): Promise<Server> {
  const keys = await ensureDevelopmentKeys();
  await report.step("example repositories", () => materialiseRepositories(paths.repositories));
  return report.step("server", async (say) => {
    const environment = serverEnvironment(
      engine,
      keys.map(({ hotkey }) => hotkey),
    );
    const running = findServer();
    if (
      running !== undefined &&
      running.fingerprint === fingerprintOf({ environment }) &&
      (await isReady(running.url))
    ) {
      say(`server runs at ${running.url}`);
      return parseServer(running.url);
    }
    if (running !== undefined) await endServer(); // other code or settings, or it does not answer
    const wanted = wantedPort();
    const port = await freePort(HOST, wanted);
    const started = await startServer({ host: HOST, port, environment });
    say(`server started at ${started.url}${port === wanted ? "" : ` (port ${wanted} is taken)`}`);
    return parseServer(started.url);
  });
}

function wantedPort(): number {
  const port = Number(process.env.PORT ?? "");
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : settings.PORT.fallback;
}

function serverEnvironment(engine: Engine, hotkeys: readonly string[]): Record<string, string | undefined> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !Object.hasOwn(settings, name) || passedOn.test(name),
  );
  return {
    // npm's own variables differ from run to run and are nobody's business here.
    ...Object.fromEntries(inherited.filter(([name]) => !/^npm_|^(INIT_CWD|_|SHLVL|OLDPWD|PWD)$/.test(name))),
    // The examples take seconds: neither a hanging agent nor an interrupted run should hold the next one up for long.
    AGENT_TIMEOUT_SECS: process.env.AGENT_TIMEOUT_SECS || "60",
    DRAIN_TIMEOUT_SECS: process.env.DRAIN_TIMEOUT_SECS || "5",
    DATA_DIR: paths.data,
    WORKSPACE_BASE: paths.sessions,
    VALIDATOR_HOTKEYS: hotkeys.join(","),
    REPO_URL_TEMPLATE: repositoryTemplate(paths.repositories),
    SANDBOX_IMAGE: images.sandbox,
    DOCKER_HOST: engine.endpoint,
    EXTRA_CA_FILE: existsSync(hostCaFile) ? hostCaFile : undefined,
  };
}

async function runExample(report: Report, server: Server, options: QuickstartOptions): Promise<BatchResult> {
  const archive = join(paths.temporary, `example-${randomUUID()}.zip`);
  const staged = `${archive}.d`;
  mkdirSync(paths.temporary, { recursive: true });
  try {
    await report.step(`archive with the agent "${options.agent}"`, async () => {
      stageSubmission(options.agent, staged, randomUUID());
      await packArchive(staged, archive, { format: "zip" });
    });
    const batchId = await submitUntilQuorum(report, server, archive, options.signal);
    await watch(server, batchId, options.signal);
    return await readResults(server, batchId, options.signal);
  } finally {
    rmSync(staged, { recursive: true, force: true });
    rmSync(archive, { force: true });
  }
}

async function submitUntilQuorum(
  report: Report,
  server: Server,
  archive: string,
  signal: AbortSignal,
): Promise<string> {
  const keys = await ensureDevelopmentKeys();
  for (const [index, { file }] of keys.entries()) {
    const accepted = await report.step(`vote of validator ${index + 1}`, async (say) => {
      const signer = await readSigner(file);
      const answer = await submit({ server, archive, signer, signatureVersion: 2, nowMs: systemClock.now(), signal });
      const what = answer.consensus_reached ? "quorum, the batch starts" : "waiting for quorum";
      say(`vote of validator ${index + 1}: ${answer.votes} of ${answer.required} needed, ${what}`);
      return answer;
    });
    if (accepted.consensus_reached) return accepted.batch_id;
  }
  throw new CliError("negative", "all validators have voted and there is no quorum", `see ${paths.serverLog}`);
}

async function watch(server: Server, batchId: string, signal: AbortSignal): Promise<void> {
  using view = createProgressView(processTerminal(), () => systemClock.monotonicMs());
  for await (const event of follow(server, batchId, systemClock, signal)) view.show(event);
}

function sayHowItEnded(report: Report, server: Server, result: BatchResult, options: QuickstartOptions): void {
  process.stdout.write(`\n${resultsTable(result.tasks)}\n\n`);
  const expected = loadExpected()[options.agent] ?? {};
  const got = new Map(result.tasks.map((task) => [task.task_id, task]));
  const surprises = Object.entries(expected).flatMap(([taskId, { verdict, reason, reward }]) => {
    const task = got.get(taskId);
    if (task?.verdict === verdict && task.reason === reason && task.reward === reward) return [];
    const seen = task === undefined ? "nothing" : `${task.verdict} (${task.reason ?? "-"}), reward ${task.reward}`;
    return [`${taskId}: expected ${verdict}, got ${seen}${task?.error ? `: ${task.error}` : ""}`];
  });
  if (!options.once) {
    report.line(`The server runs at ${server.url} (log: ${paths.serverLog}).`);
    report.line('End it with "npm run quickstart -- --stop"; "npx proctor clean" removes everything.');
  }
  if (surprises.length > 0) {
    throw new CliError(
      "negative",
      `not every verdict is the expected one:\n${surprises.join("\n")}`,
      `see ${paths.serverLog}`,
    );
  }
  report.line(`Every verdict is the expected one (agent "${options.agent}").`);
}
