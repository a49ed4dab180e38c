/** Prepared agents by digest: made once, shared by every task of every batch that brings the same agent. */
import type { AgentSpec } from "../archive/submission.ts";
import { agentVolume, type PreparedAgent, prepareAgent } from "./phases/prepare-agent.ts";
import type { AttemptReporter } from "./port.ts";
import type { Room } from "./room.ts";
import { SingleFlight } from "./single-flight.ts";

/** While it is held, eviction leaves the agent's volume alone. */
export type AgentLease = Disposable;

export class Agents {
  readonly #room: Room;
  readonly #flights = new SingleFlight<PreparedAgent, AttemptReporter>();
  /** volumes that this process has seen whole, with when they were last asked for (monotonic ms) */
  readonly #whole = new Map<string, number>();
  readonly #leaseCounts = new Map<string, number>();
  readonly #removals = new Map<string, Promise<void>>();

  constructor(room: Room) {
    this.#room = room;
  }

  /** @throws AppError of a platform fault; the signal's reason when it aborts */
  async obtain(
    agent: AgentSpec,
    reporter: AttemptReporter,
    signal: AbortSignal,
  ): Promise<PreparedAgent & { readonly lease: AgentLease }> {
    const volume = agentVolume(this.#room.instance, agent);
    // Held before anything is looked at: an engine makes a missing volume anew, empty, without a word.
    const lease = this.#lease(volume);
    try {
      await this.#removals.get(volume);
      return { ...(await this.#prepared(agent, volume, reporter, signal)), lease };
    } catch (error) {
      lease[Symbol.dispose]();
      throw error;
    }
  }

  /** Removes the volumes least recently asked for until `maxCount` are left; one in use stays. @returns how many went */
  async evict(maxCount: number): Promise<number> {
    const volumes = await this.#room.host.listVolumes({
      "proctor.instance": this.#room.instance,
      "proctor.kind": "agent",
    });
    const lastUse = (name: string) => this.#whole.get(name) ?? Number.NEGATIVE_INFINITY;
    const idle = volumes.filter((name) => !this.#leaseCounts.has(name)).sort((a, b) => lastUse(a) - lastUse(b));
    const surplus = idle.slice(0, Math.max(0, volumes.length - maxCount));
    let removedCount = 0;
    for (const volume of surplus) {
      if (this.#leaseCounts.has(volume)) continue;
      this.#whole.delete(volume);
      const removal = this.#room.host.removeVolume(volume).finally(() => this.#removals.delete(volume));
      this.#removals.set(
        volume,
        removal.catch(() => {}),
      );
      await removal;
      removedCount += 1;
    }
    return removedCount;
  }

  async #prepared(
    agent: AgentSpec,
    volume: string,
    reporter: AttemptReporter,
    signal: AbortSignal,
  ): Promise<PreparedAgent> {
    if (this.#whole.has(volume) && (await this.#room.host.hasVolume(volume))) {
      this.#whole.set(volume, this.#room.clock.monotonicMs());
      return { kind: "ready", volume };
    }
    const { value } = await this.#flights.run(agent.digest, reporter, signal, ({ signal: flightSignal, listeners }) =>
      prepareAgent(
        this.#room,
        agent,
        // Clients see the task as installing meanwhile, which it is.
        (stream, text) => {
          for (const listener of listeners) listener.log("install", stream, text);
        },
        flightSignal,
      ),
    );
    if (value.kind === "ready") this.#whole.set(volume, this.#room.clock.monotonicMs());
    return value;
  }

  #lease(volume: string): AgentLease {
    this.#leaseCounts.set(volume, (this.#leaseCounts.get(volume) ?? 0) + 1);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        const count = (this.#leaseCounts.get(volume) ?? 1) - 1;
        if (count > 0) this.#leaseCounts.set(volume, count);
        else this.#leaseCounts.delete(volume);
      },
    };
  }
}
