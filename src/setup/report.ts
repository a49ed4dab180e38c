/** What set-up prints: one line a step, with its time. */

import { processTerminal, type Terminal } from "../cli/terminal.ts";
import { systemClock } from "../kernel/clock.ts";

export interface Report {
  /** Runs one step; its line says what came of it, or that it failed. `work` may return a better wording. */
  step<T>(what: string, work: (say: (better: string) => void) => Promise<T>): Promise<T>;
  line(text: string): void;
}

/** Steps on a terminal show that they are under way; elsewhere only their end is printed. */
export function createReport(terminal: Terminal = processTerminal(process.stderr)): Report {
  return {
    async step(what, work) {
      const beganMs = systemClock.monotonicMs();
      let wording = what;
      if (terminal.isTTY) terminal.write(`  … ${what}`);
      const clear = terminal.isTTY ? "\r\u001b[2K" : "";
      const took = () => `(${((systemClock.monotonicMs() - beganMs) / 1000).toFixed(1)} s)`;
      try {
        const result = await work((better) => {
          wording = better;
        });
        terminal.write(`${clear}  ✓ ${wording} ${took()}\n`);
        return result;
      } catch (error) {
        terminal.write(`${clear}  ✗ ${wording} ${took()}\n`);
        throw error;
      }
    },
    line: (text) => terminal.write(`${text}\n`),
  };
}
