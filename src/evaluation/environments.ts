/**
 * The kept environments: found by content key, or made by one builder while every other attempt waits; evicted when there
 * are too many, never while one is in use. An attempt holds a lease on its environment from the moment it asks.
 */
import type { TaskSpec } from "../archive/submission.ts";
import { phases as phaseNames } from "../kernel/outcome.ts";
import { environmentImage, environmentKey } from "./environment-key.ts";
import type { KeptEnvironment } from "./kept-environments.ts";
import { remoteHead } from "./phases/clone.ts";
import { baseImageId, buildEnvironment, type EnvironmentBuild, openBuild } from "./phases/environment.ts";
import type { AttemptReporter, PhaseRecord } from "./port.ts";
import { type RepoSource, repoSource } from "./repo-source.ts";
import type { Room } from "./room.ts";
import { type FlightContext, SingleFlight } from "./single-flight.ts";
import { bringTrust } from "./trust.ts";
import type { Finding } from "./verdict.ts";

/** Held by an attempt; the environment isn't evicted before it is disposed. */
export type EnvironmentLease = Disposable;

export type ObtainedEnvironment =
  | {
      readonly kind: "ready";
      readonly environment: KeptEnvironment;
      readonly phases: readonly PhaseRecord[];
      readonly lease: EnvironmentLease;
    }
  | { readonly kind: "refused"; readonly finding: Finding; readonly phases: readonly PhaseRecord[] };

const EVICTION_PAGE_COUNT = 1_000;

type ToldPhase = Parameters<AttemptReporter["phase"]>;

export class Environments {
  readonly #room: Room;
  readonly #flights = new SingleFlight<EnvironmentBuild, AttemptReporter>();
  readonly #leaseCounts = new Map<string, number>();
  readonly #evictions = new Map<string, Promise<void>>();
  /** by key, the phases that a build under way has told so far: an attempt that joins it hears them first */
  readonly #told = new Map<string, ToldPhase[]>();

  constructor(room: Room) {
    this.#room = room;
  }

  /** @throws AppError of a platform fault; the signal's reason when it aborts */
  async obtain(task: TaskSpec, reporter: AttemptReporter, signal: AbortSignal): Promise<ObtainedEnvironment> {
    const room = this.#room;
    const source = await repoSource(task.repoUrl, room.settings.isAddressAllowed, room.resolveHost);
    if (source.kind === "refused") return refusedClone(source.error);
    const baseCommit = task.baseCommit ?? (await this.#headOf(task.repo, source, signal));
    if (baseCommit === undefined) return refusedClone(`${task.repo} has no default branch that can be read.`);
    const key = environmentKey(await baseImageId(room), task, baseCommit);
    await this.#evictions.get(key);
    const lease = this.#lease(key);
    try {
      const kept = await this.#findWhole(key);
      if (kept !== undefined) return { kind: "ready", environment: kept, phases: tellCached(reporter), lease };
      const made = await this.#make(task, source, baseCommit, key, reporter, signal);
      if (made.kind === "ready") return { ...made, lease };
      lease[Symbol.dispose]();
      return made;
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Removes the least recently used environments until at most `maxCount` are kept; one in use stays.
   * @returns how many were removed
   */
  async evict(maxCount: number): Promise<number> {
    const all = await this.#room.kept.list(EVICTION_PAGE_COUNT);
    let surplusCount = all.length - maxCount;
    let removedCount = 0;
    for (const environment of all) {
      if (surplusCount <= 0) break;
      if (this.#leaseCounts.has(environment.key)) continue;
      const removal = this.#remove(environment).finally(() => this.#evictions.delete(environment.key));
      this.#evictions.set(environment.key, removal);
      await removal;
      surplusCount -= 1;
      removedCount += 1;
    }
    return removedCount;
  }

  /** Removes an environment that was found useless, so that another try makes it again; one in use by others stays. */
  async discard(environment: KeptEnvironment): Promise<void> {
    const { key } = environment;
    if ((this.#leaseCounts.get(key) ?? 0) > 1 || this.#evictions.has(key)) return;
    const removal = this.#remove(environment).finally(() => this.#evictions.delete(key));
    this.#evictions.set(key, removal);
    await removal;
  }

  async #remove(environment: KeptEnvironment): Promise<void> {
    await this.#room.kept.remove(environment.key);
    await this.#room.host.removeImage(environment.image);
    this.#room.logger.info({ key: environment.key, sizeBytes: environment.sizeBytes }, "environment evicted");
  }

  #lease(key: string): EnvironmentLease {
    this.#leaseCounts.set(key, (this.#leaseCounts.get(key) ?? 0) + 1);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        const count = (this.#leaseCounts.get(key) ?? 1) - 1;
        if (count > 0) this.#leaseCounts.set(key, count);
        else this.#leaseCounts.delete(key);
      },
    };
  }

  /** @returns the kept environment if its image is still on the engine, and still the one that was kept */
  async #findWhole(key: string): Promise<KeptEnvironment | undefined> {
    const kept = await this.#room.kept.find(key);
    if (kept === undefined) return undefined;
    const image = await this.#room.host.findImage(kept.image);
    if (image?.id === kept.imageId) {
      await this.#room.kept.touch(key, new Date(this.#room.clock.now()));
      return kept;
    }
    this.#room.logger.warn({ key, image: kept.image }, "kept environment is gone from the engine; making it again");
    await this.#room.kept.remove(key);
    return undefined;
  }

  async #make(
    task: TaskSpec,
    source: RepoSource,
    baseCommit: string,
    key: string,
    reporter: AttemptReporter,
    signal: AbortSignal,
  ) {
    const image = environmentImage(this.#room.instance, key);
    const work = async ({ signal: flightSignal, listeners }: FlightContext<AttemptReporter>) => {
      const told: ToldPhase[] = [];
      this.#told.set(key, told);
      using _ = { [Symbol.dispose]: () => void (this.#told.get(key) === told && this.#told.delete(key)) };
      return await buildEnvironment(this.#room, {
        task,
        source,
        baseCommit,
        key,
        image,
        signal: flightSignal,
        // An attempt that went away isn't told any more; one that joined hears what the one that began it hears.
        onPhase: (phase, state, outcome) => {
          const line: ToldPhase = [phase, state, outcome === undefined ? {} : { outcome }];
          told.push(line);
          for (const listener of listeners) listener.phase(...line);
        },
        onOutput: (phase) => (stream, text) => {
          for (const listener of listeners) listener.log(phase, stream, text);
        },
      });
    };
    // No await between this and the joining: nothing is told twice, nothing is missed.
    for (const line of this.#told.get(key) ?? []) reporter.phase(...line);
    const { value, started } = await this.#flights.run(key, reporter, signal, work);
    if (value.kind === "refused") return { kind: "refused", finding: value.finding, phases: value.phases } as const;
    const records = started ? value.phases : cachedPhases;
    return { kind: "ready", environment: value.environment, phases: records } as const;
  }

  /** Asks the remote in a sandbox of its own: the host never runs git against a task's URL. */
  async #headOf(repo: string, source: RepoSource, signal: AbortSignal): Promise<string | undefined> {
    await using sandbox = await openBuild(this.#room, { source, signal });
    if (sandbox === undefined) return undefined;
    const trust = await bringTrust(sandbox, this.#room.settings.extraCaFile, signal);
    const { cloneTimeoutMs: timeoutMs } = this.#room.settings;
    return await remoteHead(sandbox, { repo, source, trust, timeoutMs, signal, onOutput: () => {} });
  }
}

/** Clone and install of an attempt that found its environment made, or being made by another. */
const cachedPhases: readonly PhaseRecord[] = phaseNames
  .slice(0, 2)
  .map((phase) => ({ phase, durationMs: 0, cached: true }));

function tellCached(reporter: AttemptReporter): readonly PhaseRecord[] {
  for (const { phase } of cachedPhases) {
    reporter.phase(phase, "started", { cached: true });
    reporter.phase(phase, "finished", { cached: true });
  }
  return cachedPhases;
}

function refusedClone(error: string): ObtainedEnvironment {
  return { kind: "refused", finding: { kind: "cloneFailed", error }, phases: [] };
}
