/** Makes one environment: clone and install in one build sandbox, kept as an image. */
import type { TaskSpec } from "../../archive/submission.ts";
import { AppError } from "../../kernel/errors.ts";
import type { Outcome, Phase } from "../../kernel/outcome.ts";
import type { OutputListener, Sandbox, SandboxSpec } from "../../sandbox/port.ts";
import { type BuildNetwork, describeRefused } from "../egress.ts";
import type { KeptEnvironment } from "../kept-environments.ts";
import type { PhaseRecord } from "../port.ts";
import type { RepoSource } from "../repo-source.ts";
import { keptLabels, type Room, SANDBOX_SLACK_MS, sharedLabels } from "../room.ts";
import { bringTrust, removeTrust } from "../trust.ts";
import type { Finding } from "../verdict.ts";
import { hasReference } from "./check-sanity.ts";
import { type CloneResult, clone } from "./clone.ts";
import { type InstallResult, install } from "./install.ts";
import { seal } from "./seal.ts";

export interface EnvironmentOrder {
  readonly task: TaskSpec;
  readonly source: RepoSource;
  readonly baseCommit: string;
  readonly key: string;
  /** name that the image gets */
  readonly image: string;
  readonly signal: AbortSignal;
  readonly onPhase: (phase: Phase, state: "started" | "finished", outcome?: Outcome) => void;
  readonly onOutput: (phase: Phase) => OutputListener;
}

export type EnvironmentBuild =
  | { readonly kind: "built"; readonly environment: KeptEnvironment; readonly phases: readonly PhaseRecord[] }
  /** the task's fault: nothing is scored */
  | { readonly kind: "refused"; readonly finding: Finding; readonly phases: readonly PhaseRecord[] };

/** @throws AppError of a platform fault; nothing of the sandbox is left in any case */
export async function buildEnvironment(room: Room, order: EnvironmentOrder): Promise<EnvironmentBuild> {
  const egress = room.egress.network(order.source);
  await using sandbox = await openBuild(room, order, egress);
  if (sandbox === undefined) return refuse({ kind: "cloneFailed", error: noSuchPlace(order.task.repo) }, []);
  if (order.task.install.length > 0) await egress.complete(sandbox, await baseImageId(room), order.signal);
  const trust = await bringTrust(sandbox, room.settings.extraCaFile, order.signal);
  const phases: PhaseRecord[] = [];

  const cloned = await timed(room, order, "clone", phases, async () => {
    const result = await clone(sandbox, {
      source: order.source,
      repo: order.task.repo,
      baseCommit: order.baseCommit,
      trust,
      timeoutMs: room.settings.cloneTimeoutMs,
      signal: order.signal,
      onOutput: order.onOutput("clone"),
    });
    return { result, outcome: result.fetch.outcome, usage: result.fetch.usage, network: egress.take() };
  });
  if (cloned.kind === "refused") return refuse({ kind: "cloneFailed", error: cloned.error }, phases);

  const installed: InstallResult = await timed(room, order, "install", phases, async () => {
    const result = await install(sandbox, {
      task: order.task,
      trust,
      timeoutMs: room.settings.installTimeoutMs,
      outputBytesMax: room.settings.outputBytesMax,
      floodBytesMax: room.settings.floodBytesMax,
      clock: room.clock,
      signal: order.signal,
      onOutput: order.onOutput("install"),
    });
    const network = egress.take();
    const error = result.error === undefined ? {} : { error: result.error + describeRefused(network) };
    return { result: { ...result, ...error }, outcome: result.outcome, usage: result.usage, network };
  });
  const { error: installError } = installed;
  // Only the reference solution can show that such a task is sound all the same: tests also fail where nothing is installed.
  if (installError !== undefined && !hasReference(order.task)) {
    return refuse({ kind: "installFailed", error: installError }, phases);
  }

  try {
    await removeTrust(sandbox, order.signal);
    await seal(sandbox, order.signal);
  } catch (error) {
    order.signal.throwIfAborted();
    // An install that filled its disk or memory leaves nothing that could be kept, and that is its own doing.
    if (installError === undefined || !(error instanceof AppError)) throw error;
    return refuse({ kind: "installFailed", error: installError }, phases);
  }
  return { kind: "built", environment: await keep(room, order, sandbox, cloned, installError), phases };
}

async function keep(
  room: Room,
  order: EnvironmentOrder,
  sandbox: Sandbox,
  cloned: CloneResult & { readonly kind: "cloned" },
  installError: string | undefined,
): Promise<KeptEnvironment> {
  order.signal.throwIfAborted();
  const image = await room.host.commit(sandbox, order.image, keptLabels(room, "environment", order.key));
  const environment: KeptEnvironment = {
    key: order.key,
    image: order.image,
    imageId: image.id,
    sizeBytes: image.sizeBytes,
    baseCommit: order.baseCommit,
    treeHash: cloned.treeHash,
    ...(installError === undefined ? {} : { installError }),
  };
  await room.kept.put(environment, new Date(room.clock.now()));
  room.logger.info({ key: order.key, image: image.id, sizeBytes: image.sizeBytes }, "environment kept");
  return environment;
}

/**
 * The sandbox that clones and installs. A served repository is mounted read-only.
 * @returns undefined where the engine sees no folder at the place of a file:// URL
 */
export async function openBuild(
  room: Room,
  order: Pick<EnvironmentOrder, "source" | "signal">,
  egress: BuildNetwork = room.egress.network(order.source),
): Promise<Sandbox | undefined> {
  const { settings } = room;
  const spec: SandboxSpec = {
    labels: sharedLabels(room),
    profile: "build",
    image: settings.image,
    network: egress.network,
    mounts: order.source.kind === "file" ? [order.source.mount] : [],
    resources: settings.buildResources,
    lifetimeMs: settings.cloneTimeoutMs + settings.installTimeoutMs + SANDBOX_SLACK_MS,
  };
  try {
    return await room.host.open(spec, order.signal);
  } catch (error) {
    // Asked of the engine and not of this process, which may live on another file system.
    if (error instanceof AppError && /source path does not exist/i.test(error.message)) return undefined;
    throw error;
  }
}

export function noSuchPlace(repo: string): string {
  return `There is no repository at the place that REPO_URL_TEMPLATE gives for ${repo}.`;
}

/** Runs a phase, tells of its begin and end, and records it. A platform fault is no end of a phase. */
async function timed<T>(
  room: Room,
  order: EnvironmentOrder,
  phase: Phase,
  phases: PhaseRecord[],
  work: () => Promise<{
    readonly result: T;
    readonly outcome: Outcome;
    readonly usage: PhaseRecord["usage"];
    readonly network: NonNullable<PhaseRecord["network"]>;
  }>,
): Promise<T> {
  const startMs = room.clock.monotonicMs();
  order.onPhase(phase, "started");
  const { result, outcome, usage, network } = await work();
  const durationMs = Math.round(room.clock.monotonicMs() - startMs);
  const facts = { ...(usage === undefined ? {} : { usage }), ...(network.length === 0 ? {} : { network }) };
  phases.push({ phase, durationMs, outcome, cached: false, ...facts });
  order.onPhase(phase, "finished", outcome);
  return result;
}

function refuse(finding: Finding, phases: readonly PhaseRecord[]): EnvironmentBuild {
  return { kind: "refused", finding, phases };
}

/** @throws AppError `image_missing` naming the image and what to do */
export async function baseImageId(room: Room): Promise<string> {
  const image = await room.host.findImage(room.settings.image);
  if (image !== undefined) return image.id;
  throw new AppError(
    "image_missing",
    `image ${room.settings.image} (SANDBOX_IMAGE) is not on this engine; run "npm run setup" to build it`,
  );
}
