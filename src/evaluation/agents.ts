/** Prepared agents by digest: made once, shared by every task of every batch that brings the same agent. */
import type { AgentSpec } from "../archive/submission.ts";
import { type PreparedAgent, prepareAgent } from "./phases/prepare-agent.ts";
import type { AttemptReporter } from "./port.ts";
import type { Room } from "./room.ts";
import { SingleFlight } from "./single-flight.ts";

export class Agents {
  readonly #room: Room;
  readonly #flights = new SingleFlight<PreparedAgent, AttemptReporter>();
  /** volumes that this process has seen whole */
  readonly #whole = new Map<string, string>();

  constructor(room: Room) {
    this.#room = room;
  }

  /** @throws AppError of a platform fault; the signal's reason when it aborts */
  async obtain(agent: AgentSpec, reporter: AttemptReporter, signal: AbortSignal): Promise<PreparedAgent> {
    const volume = this.#whole.get(agent.digest);
    if (volume !== undefined && (await this.#room.host.hasVolume(volume))) return { kind: "ready", volume };
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
    if (value.kind === "ready") this.#whole.set(agent.digest, value.volume);
    return value;
  }
}
