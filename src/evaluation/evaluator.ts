/** The evaluator: one attempt from task and agent to a result, phase by phase. */
import type { Config } from "../config.ts";
import type { Clock } from "../kernel/clock.ts";
import { emptyText } from "../kernel/outcome.ts";
import type { SandboxHost } from "../sandbox/port.ts";
import type { BlobStore, Store } from "../store/port.ts";
import { Agents } from "./agents.ts";
import { Egress } from "./egress.ts";
import { Environments } from "./environments.ts";
import { type KeptEnvironments, keptEnvironments } from "./kept-environments.ts";
import { type EvaluationLogger, silentLogger } from "./logger.ts";
import { type Judged, judge } from "./phases/judge.ts";
import type { AttemptInput, AttemptReporter, Evaluator, TaskResult } from "./port.ts";
import { type ResolveHost, systemResolve } from "./repo-source.ts";
import type { Room } from "./room.ts";
import { evaluationSettings } from "./settings.ts";
import { decide, type Finding } from "./verdict.ts";

export interface EvaluatorDeps {
  readonly host: SandboxHost;
  /** holds the record of kept environments */
  readonly store: Store | { readonly kept: KeptEnvironments };
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
  return {
    evaluate: (input, reporter, signal) => evaluate(room, environments, agents, input, reporter, signal),
    evictEnvironments: (maxCount) => environments.evict(maxCount),
    evictAgents: (maxCount) => agents.evict(maxCount),
  };
}

async function evaluate(
  room: Room,
  environments: Environments,
  agents: Agents,
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

  const agent = await agents.obtain(input.agent, reporter, signal);
  using _agentLease = agent.lease;
  if (agent.kind === "invalid") {
    return result({ kind: "agentInvalid" }, { ...known, phases: obtained.phases, agentOutput: agent.output });
  }

  const judged = await judge(room, { input, environment, agentVolume: agent.volume, reporter, signal });
  const phases = [...obtained.phases, ...judged.phases];
  return result(judged.finding, { ...known, ...factsOf(judged), ...(await keepPatch(room, judged)), phases });
}

/** A patch that was cut for showing is kept whole, so that it can still be applied. */
async function keepPatch(room: Room, { patch }: Judged): Promise<Pick<TaskResult, "agentPatchDigest">> {
  if (!patch.text.truncated || patch.whole === undefined) return {};
  return { agentPatchDigest: await room.blobs.put(patch.whole) };
}

function factsOf(judged: Judged): Partial<TaskResult> {
  return {
    notes: judged.notes,
    evidence: judged.finding.kind === "judged" ? judged.finding.evidence : [],
    agentOutput: judged.agentOutput,
    agentPatch: judged.patch.text,
    runtime: judged.runtime,
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
