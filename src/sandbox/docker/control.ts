/** What is done to a container from outside, by name: it works from the moment `create` was asked, and never rejects. */
import type { Engine } from "./engine.ts";
import type { ContainerControl } from "./sandbox.ts";

export type Log = (level: "debug" | "warn", message: string, fields: Readonly<Record<string, unknown>>) => void;

const REMOVE_TRIES_MS = [0, 200, 1_000, 5_000, 15_000] as const;
const KILLED_EXIT_CODE = 137;

export interface ControlOptions {
  readonly engine: Engine;
  readonly name: string;
  readonly log: Log;
  /** removes it; one that is gone is fine. Rejects where the engine fails */
  remove(): Promise<void>;
  /** told once, after it was removed or given up */
  onRemoved(): Promise<void>;
}

/** @returns the control; its `remove` tries again with growing waits before it leaves the container to the next start */
export function containerControl({ engine, name, log, remove, onRemoved }: ControlOptions): ContainerControl {
  const container = engine.docker.getContainer(name);
  const quietly = async (what: string, work: () => Promise<unknown>) => {
    await work().catch((error: unknown) => log("warn", what, { container: name, error }));
  };
  const removeSurely = async () => {
    for (const waitMs of REMOVE_TRIES_MS) {
      await engine.clock.sleep(waitMs);
      try {
        return await remove();
      } catch (error) {
        log("warn", "removing a sandbox failed; it is tried again", { container: name, error });
      }
    }
    log("warn", "a sandbox could not be removed; the next start reaps it", { container: name });
  };
  return {
    kill: () =>
      quietly("killing a container failed", () =>
        engine.call("kill", "killing a sandbox", (abortSignal) => container.kill({ signal: "SIGKILL", abortSignal })),
      ),
    wasOutOfMemory: async () => {
      let outOfMemory = false;
      await quietly("a container's end could not be read", async () => {
        // the line ends a moment before the engine knows of the end
        await engine.call("inspect", "waiting for a sandbox's end", (abortSignal) => container.wait({ abortSignal }));
        const { State } = await engine.call("inspect", "reading a sandbox's end", () => container.inspect());
        // the flag also stands for a child that was killed long before: only PID 1 itself ends with 137
        outOfMemory = State.OOMKilled && State.ExitCode === KILLED_EXIT_CODE;
      });
      return outOfMemory;
    },
    remove: async () => {
      await removeSurely();
      await onRemoved();
    },
  };
}
