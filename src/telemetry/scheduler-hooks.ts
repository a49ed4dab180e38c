/** What scheduling tells of its attempts, as meters. */
import type { Phase, Reason } from "../kernel/outcome.ts";
import type { Meters } from "./meters.ts";

interface AttemptEnded {
  readonly reason?: Reason | null;
  readonly result?: {
    readonly phases: readonly { readonly phase: Phase; readonly durationMs: number; readonly cached: boolean }[];
  };
}

/** @returns the hooks of scheduling/hooks.ts */
export function schedulerHooks(meters: Meters): { attemptEnded(facts: AttemptEnded): void } {
  return {
    attemptEnded({ result, reason }) {
      for (const { phase, durationMs, cached } of result?.phases ?? []) meters.phaseEnded(phase, durationMs, cached);
      if (reason !== undefined && reason !== null) meters.taskFailed(reason);
    },
  };
}
