/** The evaluator: one attempt from task and agent to a result, phase by phase. */
import type { Config } from "../config.ts";
import type { Clock } from "../kernel/clock.ts";
import { emptyText } from "../kernel/outcome.ts";
import type { SandboxHost } from "../sandbox/port.ts";
import type { BlobStore, Store } from "../store/port.ts";
import { Agents } from "./agents.ts";
import { unguardedOf } from "./canary.ts";
import { Egress } from "./egress.ts";
import { Environments } from "./environments.ts";
import { type KeptEnvironment, type KeptEnvironments, keptEnvironments } from "./kept-environments.ts";
import { type EvaluationLogger, silentLogger } from "./logger.ts";
import { type Judged, judge } from "./phases/judge.ts";
import { policyRecord } from "./policies.ts";
import type { AttemptInput, AttemptReporter, Evaluator, TaskResult } from "./port.ts";
import { type ResolveHost, systemResolve } from "./repo-source.ts";
import type { Room } from "./room.ts";
import { Sanities } from "./sanities.ts";
import { type SanityRecord, type SanityRecords, sanityRecords } from "./sanity-records.ts";
import { evaluationSettings } from "./settings.ts";
import { decide, type Finding } from "./verdict.ts";

export interface EvaluatorDeps {
  readonly host: SandboxHost;
  /** holds the records of kept environments and of sound tasks */
  readonly store: Store | { readonly kept: KeptEnvironments; readonly sanity: SanityRecords };
  readonly blobs: BlobStore;
  readonly config: Config;
  readonly clock: Clock;
  /** label value of everything we make on the engine */
  readonly instance: string;
  readonly logger?: EvaluationLogger;
  readonly resolveHost?: ResolveHost;
}

export interface EvaluationRoom extends Evaluator {
  /**
   * Removes the least recently used environments until at most `maxCount` are kept; one in use stays.
   * @returns how many were removed
   * @throws AppError of the engine or the store
   */
  evictEnvironments(maxCount: number): Promise<number>;
  /** The same for prepared agents. */
  evictAgents(maxCount: number): Promise<number>;
}

/** @throws AppError `invalid_config` where EGRESS_ALLOW_CIDRS or EGRESS_HOSTS is malformed */
export function createEvaluator(deps: EvaluatorDeps): EvaluationRoom {
  const settings = evaluationSettings(deps.config);
  const logger = deps.logger ?? silentLogger;
  const room: Room = {
    host: deps.host,
    kept: "kept" in deps.store ? deps.store.kept : keptEnvironments(deps.store),
    sanity: "sanity" in deps.store ? deps.store.sanity : sanityRecords(deps.store),
    blobs: deps.blobs,
    settings,
    egress: new Egress(settings.egress, logger),
    clock: deps.clock,
    instance: deps.instance,
    logger,
    resolveHost: deps.resolveHost ?? systemResolve,
  };
  const environments = new Environments(room);
  const agents = new Agents(room);
  const sanities = new Sanities(room);
  return {
    evaluate: (input, reporter, signal) => evaluate({ room, environments, sanities, agents }, input, reporter, signal),
    evictEnvironments: (maxCount) => environments.evict(maxCount),
    evictAgents: (maxCount) => agents.evict(maxCount),
  };
}

interface Parts {
  readonly room: Room;
  readonly environments: Environments;
  readonly sanities: Sanities;
  readonly agents: Agents;
}

async function evaluate(
  { room, environments, sanities, agents }: Parts,
  input: AttemptInput,
  reporter: AttemptReporter,
  signal: AbortSignal,
): Promise<TaskResult> {
  signal.throwIfAborted();
  // Before anything is spent: nothing could ever be said of such a task.
  if (input.task.judges.length === 0) return result({ kind: "noTests" });

  const obtained = await environments.obtain(input.task, reporter, signal);
  if (obtained.kind === "refused") return result(obtained.finding, { phases: obtained.phases });
  using _lease = obtained.lease;
  const { environment } = obtained;
  const known = {
    baseCommit: environment.baseCommit,
    treeHash: environment.treeHash,
    environmentImage: environment.imageId,
  };

  const sanity = await sanities.check(input.task, environment, signal);
  const unsound = unsoundFinding(environment, sanity);
  if (unsound !== undefined) {
    // Another try may install what was away this time.
    if (unsound.kind === "installFailed") await environments.discard(environment);
    return result(unsound, { ...known, phases: obtained.phases });
  }

  const agent = await agents.obtain(input.agent, reporter, signal);
  using _agentLease = agent.lease;
  if (agent.kind === "invalid") {
    return result({ kind: "agentInvalid" }, { ...known, phases: obtained.phases, agentOutput: agent.output });
  }

  const { selfChanged, guards } = sanity;
  const judged = await judge(room, {
    input,
    environment,
    selfChanged,
    guards,
    agentVolume: agent.volume,
    reporter,
    signal,
  });
  const phases = [...obtained.phases, ...judged.phases];
  const notes = [...notesOfSanity(environment, sanity), ...judged.notes];
  const unguarded = judged.tests === undefined ? {} : { unguarded: unguardedOf(input.task, guards) };
  const facts = { ...factsOf(judged), ...unguarded, ...(await keepPatch(room, judged)) };
  return result(judged.finding, { ...known, ...facts, phases, notes });
}

/** Why nobody is judged by a task; undefined: it is sound. */
function unsoundFinding(environment: KeptEnvironment, sanity: SanityRecord): Finding | undefined {
  const { installError } = environment;
  if (installError !== undefined && !(sanity.isSound && sanity.hasReference)) {
    return { kind: "installFailed", error: installError };
  }
  if (sanity.isSound) return undefined;
  return { kind: "sanityFailed", error: `The task is not sound, so nobody was judged by it. ${sanity.detail}` };
}

function notesOfSanity({ installError }: KeptEnvironment, { detail }: SanityRecord): string[] {
  const notes = detail === "" ? [] : [detail];
  if (installError === undefined) return notes;
  const [first = ""] = installError.split("\n", 1);
  return [`A part of the install failed, but the reference solution passes all the same: ${first}`, ...notes];
}

/** A patch that was cut for showing is kept whole, so that it can still be applied. */
async function keepPatch(room: Room, { patch }: Judged): Promise<Pick<TaskResult, "agentPatchDigest">> {
  if (!patch.text.truncated || patch.whole === undefined) return {};
  return { agentPatchDigest: await room.blobs.put(patch.whole) };
}

function factsOf(judged: Judged): Partial<TaskResult> {
  return {
    notes: judged.notes,
    ...(judged.finding.kind === "judged"
      ? { evidence: judged.finding.evidence, policy: policyRecord(judged.finding.policy) }
      : {}),
    agentOutput: judged.agentOutput,
    agentPatch: judged.patch.text,
    runtime: judged.runtime,
    ...(judged.grading === undefined ? {} : { grading: judged.grading }),
    ...(judged.agentExitCode === undefined ? {} : { agentExitCode: judged.agentExitCode }),
    ...(judged.tests === undefined ? {} : { tests: judged.tests.results, testOutput: judged.tests.output }),
  };
}

function result(finding: Finding, facts: Partial<TaskResult> = {}): TaskResult {
  const nothing = {
    phases: [],
    tests: [],
    notes: [],
    agentOutput: emptyText,
    testOutput: emptyText,
    agentPatch: emptyText,
  };
  return { ...nothing, ...facts, ...decide(finding) };
}
