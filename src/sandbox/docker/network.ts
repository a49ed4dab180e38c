/** The network of `open` sandboxes: a bridge of ours for each instance, on which sandboxes don't reach each other. */
import { createHash } from "node:crypto";
import { type Engine, isConflict } from "./engine.ts";

export class OpenNetwork {
  readonly #engine: Engine;
  readonly #instance: string;
  readonly #name: string;
  #ready: Promise<string> | undefined;

  constructor(engine: Engine, instance: string) {
    this.#engine = engine;
    this.#instance = instance;
    // interface and network names are short: a digest of the instance tells them apart
    this.#name = `proctor-open-${createHash("sha256").update(instance).digest("hex").slice(0, 12)}`;
  }

  /** @returns the network's name, made at first use */
  name(): Promise<string> {
    const ready = this.#ready ?? this.#make();
    this.#ready = ready;
    ready.catch(() => {
      if (this.#ready === ready) this.#ready = undefined;
    });
    return ready;
  }

  /** Forgets it, so that a network which somebody removed is made again. */
  forget(): void {
    this.#ready = undefined;
  }

  async #make(): Promise<string> {
    const { docker } = this.#engine;
    const what = `making network ${this.#name}`;
    const found = await this.#engine.call("list", what, () => docker.listNetworks({ filters: { name: [this.#name] } }));
    if (found.some((network) => network.Name === this.#name)) return this.#name;
    try {
      await this.#engine.call("create", what, () =>
        docker.createNetwork({
          Name: this.#name,
          CheckDuplicate: true,
          Driver: "bridge",
          EnableIPv6: false,
          Labels: { "proctor.instance": this.#instance, "proctor.network": "open" },
          Options: { "com.docker.network.bridge.enable_icc": "false" },
        }),
      );
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
    return this.#name;
  }
}
