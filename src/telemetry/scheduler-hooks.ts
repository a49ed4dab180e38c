/** What scheduling tells of its attempts, as meters and one log line an attempt. */
import type { Phase, Reason } from "../kernel/outcome.ts";
import type { Logger } from "./logger.ts";
import type { Meters } from "./meters.ts";

interface AttemptEnded {
  readonly batch: string;
  readonly task: string;
  readonly attempt: number;
  readonly end: string;
  readonly durationMs: number;
  readonly verdict?: string;
  readonly reason?: Reason | null;
  readonly fault?: string;
  readonly result?: { readonly phases: readonly { phase: Phase; durationMs: number; cached: boolean }[] };
}

/** @returns the hooks of scheduling/hooks.ts */
export function schedulerHooks(meters: Meters, logger: Logger): { attemptEnded(facts: AttemptEnded): void } {
  return {
    attemptEnded({ result, ...facts }) {
      for (const { phase, durationMs, cached } of result?.phases ?? []) meters.phaseEnded(phase, durationMs, cached);
      if (facts.reason !== undefined && facts.reason !== null) meters.taskFailed(facts.reason);
      const phasesMs = Object.fromEntries(
        (result?.phases ?? []).map(({ phase, durationMs }) => [phase, Math.round(durationMs)]),
      );
      logger.info({ ...facts, durationMs: Math.round(facts.durationMs), phasesMs }, "attempt");
    },
  };
}
