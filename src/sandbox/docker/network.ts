/**
 * The network of `open` sandboxes: a bridge of ours for each instance, on which sandboxes don't reach each other. It
 * lives from the first such sandbox to the last: an engine has addresses for some thirty networks in all.
 */
import { createHash } from "node:crypto";
import { type Engine, isConflict } from "./engine.ts";
import { sharedLabels } from "./labels.ts";

export class OpenNetwork {
  readonly #engine: Engine;
  readonly #instance: string;
  readonly #name: string;
  #users = 0;
  /** the last of what is done to the network: making and removing never overlap */
  #last: Promise<unknown> = Promise.resolve();

  constructor(engine: Engine, instance: string) {
    this.#engine = engine;
    this.#instance = instance;
    // interface and network names are short: a digest of the instance tells them apart
    this.#name = `proctor-open-${createHash("sha256").update(instance).digest("hex").slice(0, 12)}`;
  }

  /** Counts a sandbox in and makes the network where it is not there. Every success is followed by one `release`. */
  async acquire(): Promise<string> {
    this.#users++;
    try {
      await this.#inTurn(() => this.#make());
      return this.#name;
    } catch (error) {
      this.#users--;
      throw error;
    }
  }

  /** Counts a sandbox out; the last one takes the network along. Never rejects: a network that stays is found again. */
  async release(): Promise<void> {
    this.#users--;
    await this.#inTurn(async () => {
      if (this.#users > 0) return;
      const { docker } = this.#engine;
      await this.#engine.call("remove", `removing network ${this.#name}`, () => docker.getNetwork(this.#name).remove());
    }).catch(() => {});
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => {});
    return mine;
  }

  async #make(): Promise<void> {
    const { docker } = this.#engine;
    const what = `making network ${this.#name}`;
    const found = await this.#engine.call("list", what, () => docker.listNetworks({ filters: { name: [this.#name] } }));
    if (found.some((network) => network.Name === this.#name)) return;
    try {
      await this.#engine.call("create", what, () =>
        docker.createNetwork({
          Name: this.#name,
          CheckDuplicate: true,
          Driver: "bridge",
          EnableIPv6: false,
          Labels: { ...sharedLabels(this.#instance), "proctor.network": "open" },
          Options: { "com.docker.network.bridge.enable_icc": "false" },
        }),
      );
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
}
