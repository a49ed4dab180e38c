/**
 * Keepers: background loops that restore an invariant. Each runs once at start and then every `intervalMs`; one that
 * fails says so, keeps its age, and runs again next time. They never overlap themselves.
 */
import type { Clock } from "../../kernel/clock.ts";

export interface Keeper {
  readonly name: string;
  readonly intervalMs: number;
  /** Restores the invariant once. @returns how much there was to do, for the log */
  run(signal: AbortSignal): Promise<number>;
}

export interface KeeperHealth {
  readonly name: string;
  /** ms since it last ran through; undefined before the first time */
  readonly lastOkAgeMs: number | undefined;
  /** of the newest run, if it failed */
  readonly lastError: string | undefined;
}

export interface Keepers {
  health(): readonly KeeperHealth[];
  /** Ends the loops; resolves when none runs any more. */
  stop(): Promise<void>;
}

export interface KeeperOptions {
  readonly clock: Clock;
  readonly logger?:
    | {
        info(fields: Record<string, unknown>, message: string): void;
        warn(fields: Record<string, unknown>, message: string): void;
      }
    | undefined;
}

export function startKeepers(keepers: readonly Keeper[], { clock, logger }: KeeperOptions): Keepers {
  const stopping = new AbortController();
  const states = keepers.map((keeper) => ({
    keeper,
    okAtMs: undefined as number | undefined,
    error: undefined as string | undefined,
  }));

  const loop = async (state: (typeof states)[number]) => {
    const { keeper } = state;
    const { signal } = stopping;
    while (!signal.aborted) {
      try {
        const count = await keeper.run(signal);
        state.okAtMs = clock.monotonicMs();
        state.error = undefined;
        if (count > 0) logger?.info({ keeper: keeper.name, count }, "keeper");
      } catch (error) {
        if (signal.aborted) return;
        state.error = String(error).slice(0, 300);
        logger?.warn({ keeper: keeper.name, err: state.error }, "keeper failed; it runs again");
      }
      await clock.sleep(keeper.intervalMs, signal).catch(() => undefined);
    }
  };

  const loops = Promise.all(states.map(loop));
  return {
    health: () =>
      states.map(({ keeper, okAtMs, error }) => ({
        name: keeper.name,
        lastOkAgeMs: okAtMs === undefined ? undefined : clock.monotonicMs() - okAtMs,
        lastError: error,
      })),
    async stop() {
      stopping.abort();
      await loops;
    },
  };
}

/** Ballots whose time is up end. @param expireDue Ballots.expireDue */
export function ballotKeeper(expireDue: () => Promise<number>, intervalMs = 1_000): Keeper {
  return { name: "ballots", intervalMs, run: () => expireDue() };
}

/** Kept environments stay within their bounds. @param evict evaluation's eviction; @returns how many went */
export function environmentKeeper(evict: (signal: AbortSignal) => Promise<number>, intervalMs = 60_000): Keeper {
  return { name: "environments", intervalMs, run: evict };
}

/** The same for prepared agents. @param evict evaluation's eviction; @returns how many went */
export function agentKeeper(evict: (signal: AbortSignal) => Promise<number>, intervalMs = 60_000): Keeper {
  return { name: "agents", intervalMs, run: evict };
}
