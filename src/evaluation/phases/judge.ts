/**
 * One attempt in its sandbox: the agent's phase, what lies between, the tests. Between them nothing of the agent stays but
 * its change: its processes are ended, its change is taken out and checked, every place it could write to is emptied, the
 * repository is built again from the environment, and the change is applied to that. Where the places can't be emptied,
 * a second sandbox takes over.
 */
import {
  type CapturedText,
  emptyText,
  type GradingMode,
  type Outcome,
  type Phase,
  succeeded,
} from "../../kernel/outcome.ts";
import type { Sandbox, SandboxSpec, Usage } from "../../sandbox/port.ts";
import type { ChangeSet } from "../change-set.ts";
import type { KeptEnvironment } from "../kept-environments.ts";
import { places } from "../places.ts";
import type { AttemptInput, AttemptReporter, Evidence, PhaseRecord } from "../port.ts";
import { type Room, SANDBOX_SLACK_MS } from "../room.ts";
import { judgeKind } from "../sanity.ts";
import { agentEndReason, type Finding } from "../verdict.ts";
import { harvest } from "./harvest.ts";
import { type TakenPatch, takePatch } from "./patch.ts";
import { protect } from "./protect.ts";
import { bringTask, notesOf, runAgent } from "./run-agent.ts";
import { evidenceOfCanaries, runCanaries } from "./run-canaries.ts";
import { type ChangedHidden, runTests, type TestsRun } from "./run-tests.ts";
import { unmetWishes } from "./wishes.ts";
import { applyToRepo, emptyPlaces, fillRepo } from "./workspace.ts";

/** Enough to see what was done; a change of ten thousand files is not told file by file. */
const EVIDENCE_MAX = 20;

export interface JudgeOrder {
  readonly input: AttemptInput;
  readonly environment: KeptEnvironment;
  /** hidden tests that the task's own commands change, see sanity-records.ts */
  readonly selfChanged: readonly string[];
  /** test runners whose canary is known to work */
  readonly guards: readonly string[];
  readonly agentVolume: string;
  readonly reporter: AttemptReporter;
  readonly signal: AbortSignal;
}

export interface Judged {
  readonly finding: Finding;
  readonly phases: readonly PhaseRecord[];
  readonly notes: readonly string[];
  readonly agentOutput: CapturedText;
  readonly agentExitCode?: number;
  readonly patch: TakenPatch;
  readonly tests?: TestsRun;
  /** where the tests ran */
  readonly grading?: GradingMode;
  readonly runtime: string;
}

/** @throws AppError of a platform fault; nothing of the sandboxes is left in any case */
export async function judge(room: Room, order: JudgeOrder): Promise<Judged> {
  const { input, signal } = order;
  await using sandbox = await room.host.open(strictSpec(room, order), signal);
  const phases: PhaseRecord[] = [];
  const notes = await unmetWishes(sandbox, input.task.toolVersions, signal);

  const agent = await timed(room, order, "agent", phases, async () => {
    await bringTask(sandbox, input, signal);
    const onOutput = (stream: "stdout" | "stderr", text: string) => order.reporter.log("agent", stream, text);
    return runAgent(sandbox, input, order.environment.baseCommit, room.settings, { signal, onOutput });
  });
  const { outcome } = agent;
  const exitCode = outcome.kind === "exited" ? { agentExitCode: outcome.exitCode } : {};
  const seen = { agentOutput: agent.output, ...exitCode, runtime: sandbox.runtime };
  notes.push(...notesOf("The agent", agent));
  const reason = agentEndReason(outcome);
  if (reason !== undefined) {
    const patch = { text: emptyText, notes: [] };
    return { ...seen, finding: { kind: "agentEnded", reason }, phases, notes, patch };
  }

  await sandbox.endAll();
  const change = await harvest(sandbox, signal);
  await sandbox.endAll();
  await using place = await placeForTests(room, order, sandbox);
  const { patch, tests, kept, canaries } = await timed(room, order, "tests", phases, () =>
    judgeChange(room, order, place.sandbox, change),
  );
  notes.push(...change.notes, ...patch.notes, ...kept.notes, ...tests.notes, ...place.notes);
  const changed = tests.changed.filter(({ path }) => !order.selfChanged.includes(path));
  const evidence = [
    ...kept.evidence,
    ...evidenceOfCanaries(canaries),
    ...changed.slice(0, EVIDENCE_MAX).map(evidenceOfChange),
  ];
  const { policy } = room.settings;
  const kinds = input.task.judges.map(judgeKind);
  const finding = { kind: "judged", outcomes: tests.outcomes, kinds, policy, evidence } as const;
  return { ...seen, finding, phases, notes, patch, tests, grading: place.grading };
}

function evidenceOfChange({ judge, path }: ChangedHidden): Evidence {
  const shown = JSON.stringify(path.slice(0, 200));
  return { kind: "hidden_test_changed", detail: `The hidden test ${shown} was changed while ${judge} ran.` };
}

interface PlaceForTests extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly grading: GradingMode;
  readonly notes: readonly string[];
}

/** The agent's own sandbox, emptied; or a fresh one where that is asked for, or something resisted. */
async function placeForTests(room: Room, order: JudgeOrder, used: Sandbox): Promise<PlaceForTests> {
  const { signal } = order;
  const notes: string[] = [];
  if (room.settings.grading === "clean") {
    if (await emptyPlaces(used, signal)) {
      return { sandbox: used, grading: "clean", notes, [Symbol.asyncDispose]: async () => {} };
    }
    room.logger.warn({ task: order.input.task.taskId }, "a sandbox could not be emptied; the tests run in a fresh one");
    notes.push("The agent's sandbox could not be emptied; the tests ran in a fresh one.");
  }
  // Gone before the other begins: at no time has a task more than its share of the machine.
  await used.close();
  const fresh = await room.host.open(strictSpec(room, order), signal);
  return {
    sandbox: fresh,
    grading: "fresh",
    notes,
    [Symbol.asyncDispose]: () => fresh.close(),
  };
}

async function judgeChange(room: Room, order: JudgeOrder, sandbox: Sandbox, change: ChangeSet) {
  const { signal } = order;
  const patch = await takePatch(sandbox, change, room.settings.outputBytesMax, signal);
  await fillRepo(sandbox, "tests", signal);
  const kept = await protect(sandbox, order.input.task, change, signal);
  await applyToRepo(sandbox, "apply the agent's change", "tests", kept.change, signal);
  await sandbox.endAll();
  const onOutput = (stream: "stdout" | "stderr", text: string) => order.reporter.log("tests", stream, text);
  const tests = await runTests(sandbox, order.input.task, room.settings, { signal, onOutput });
  // Where nothing passed nothing was forced.
  const isForceable = tests.outcomes.some((outcome) => outcome !== undefined && succeeded(outcome));
  const canaries = isForceable ? await runCanaries(sandbox, order.input.task, room.settings, signal, order.guards) : [];
  return { patch, tests, kept, canaries, outcome: lastOutcome(tests), usage: tests.usage };
}

/** Of the tests phase as a whole: the first command that did not succeed, else the last one. */
function lastOutcome(tests: TestsRun): Outcome {
  const bad = tests.outcomes.find((outcome) => outcome?.kind !== "exited" || outcome.exitCode !== 0);
  return bad ?? { kind: "exited", exitCode: 0 };
}

function strictSpec(room: Room, order: JudgeOrder): SandboxSpec {
  const { settings } = room;
  const { batchId, attempt, task } = order.input;
  return {
    labels: { instance: room.instance, batch: batchId, task: task.taskId, attempt, phase: "agent" },
    profile: settings.profile,
    image: order.environment.imageId,
    network: "none",
    mounts: [{ kind: "volume", source: order.agentVolume, target: places.agent, readOnly: true }],
    resources: settings.resources,
    lifetimeMs: settings.agentTimeoutMs + settings.testTimeoutMs * task.judges.length + SANDBOX_SLACK_MS,
  };
}

/** Runs a phase, tells of its begin and end, and records it. */
async function timed<T extends { readonly outcome: Outcome; readonly usage: Usage }>(
  room: Room,
  order: JudgeOrder,
  phase: Phase,
  phases: PhaseRecord[],
  work: () => Promise<T>,
): Promise<T> {
  const startMs = room.clock.monotonicMs();
  order.reporter.phase(phase, "started");
  const result = await work();
  const durationMs = Math.round(room.clock.monotonicMs() - startMs);
  phases.push({ phase, durationMs, outcome: result.outcome, cached: false, usage: result.usage });
  order.reporter.phase(phase, "finished", { outcome: result.outcome });
  return result;
}
