/**
 * Removes sandboxes of this instance that nobody owns: of attempts that don't run here any more, and those that a dead
 * process left. A sandbox appears on the engine before and disappears after its attempt's own books say so; therefore
 * one is removed only when two sweeps in a row found it without an owner. At the first sweep after a start, what has no
 * attempt here needs no second look, and preparations older than this process are nobody's.
 */
import type { FoundSandbox, SandboxHost } from "../../sandbox/port.ts";
import type { Keeper } from "./keeper.ts";

export interface SandboxReaperOptions {
  readonly host: Pick<SandboxHost, "list" | "remove">;
  readonly instance: string;
  /** Scheduler.isRunning */
  readonly isRunning: (batchId: string, taskId: string, attempt: number) => boolean;
  /** ids that are in use although they belong to no task (preparations) */
  readonly isInUse?: (sandbox: FoundSandbox) => boolean;
  readonly intervalMs?: number;
  /** when this process began, by the engine's clock */
  readonly startedAtMs?: number;
}

export function sandboxReaper(options: SandboxReaperOptions): Keeper {
  const { host, instance, isRunning } = options;
  let suspects = new Set<string>();
  const startedAtMs = options.startedAtMs ?? performance.timeOrigin;
  let first = true;
  const isOwned = (found: FoundSandbox): boolean => {
    const { batch, task, attempt } = found.labels;
    if (task !== "-") return isRunning(batch, task, attempt);
    // A preparation has no attempt to ask for: while it runs, its own lifetime ends it.
    return options.isInUse?.(found) ?? (found.running && !(first && found.createdAtMs < startedAtMs));
  };
  return {
    name: "sandbox-reaper",
    intervalMs: options.intervalMs ?? 15_000,
    async run(signal) {
      const orphans = (await host.list(instance)).filter((found) => !isOwned(found));
      const reaped = orphans.filter((found) => first || suspects.has(found.id));
      let count = 0;
      let failure: unknown;
      for (const { id } of reaped) {
        if (signal.aborted) break;
        try {
          await host.remove(id);
          count += 1;
        } catch (error) {
          failure = error;
        }
      }
      suspects = new Set(orphans.map((found) => found.id));
      first = false;
      if (failure !== undefined) throw failure;
      return count;
    },
  };
}
