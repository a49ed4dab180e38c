/** The sandbox port on a Docker engine. */
import { randomUUID } from "node:crypto";
import Docker from "dockerode";
import { type Clock, systemClock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { EngineInfo, FoundSandbox, KeptImage, Sandbox, SandboxHost, SandboxSpec } from "../port.ts";
import { loadProfiles, type Profile, type ProfileName } from "../profiles.ts";
import { attach } from "./attach.ts";
import { checkFacts, checkInspect } from "./checks.ts";
import { containerSpec } from "./container-spec.ts";
import { containerControl, type Log } from "./control.ts";
import { watchDisk } from "./disk-watch.ts";
import { dockerOptions, endpointName } from "./endpoint.ts";
import { Engine, isConflict, isNotFound } from "./engine.ts";
import { found, keptLabels, sharedLabels, splitReference } from "./labels.ts";
import { SupervisorLink } from "./link.ts";
import { OpenNetwork } from "./network.ts";
import { Programs } from "./programs.ts";
import { DockerSandbox } from "./sandbox.ts";
import { WayOut } from "./way-out.ts";

export interface DockerHostOptions {
  /** DOCKER_HOST: unix:///path or tcp://host:port; empty: the engine's usual socket */
  readonly dockerHost?: string;
  /** value of `proctor.instance`: what this server may list and remove */
  readonly instance: string;
  /** pristine sandbox image, which our own programs are taken from */
  readonly image: string;
  /** OCI runtime by name; empty: the engine's default */
  readonly runtime?: string;
  readonly clock?: Clock;
  /** silence after which a sandbox ends itself, ms; heartbeats come ten times as often */
  readonly deadManMs?: number;
  /** told what a person operating this should know; never awaited */
  readonly log?: Log;
}

const HELLO_MS = 15_000;
const DEAD_MAN_MS = 30_000;

/** Makes the host. Nothing is asked of the engine yet: `ping` does that. @throws AppError `invalid_config` */
export function createDockerHost(options: DockerHostOptions): SandboxHost {
  return new DockerHost(options);
}

class DockerHost implements SandboxHost {
  readonly #engine: Engine;
  readonly #docker: Docker;
  readonly #clock: Clock;
  readonly #instance: string;
  readonly #runtime: string;
  readonly #deadManMs: number;
  readonly #profiles: Readonly<Record<ProfileName, Profile>>;
  readonly #programs: Programs;
  readonly #network: OpenNetwork;
  readonly #log: Log;

  constructor(options: DockerHostOptions) {
    const dockerHost = options.dockerHost ?? "";
    this.#docker = new Docker(dockerOptions(dockerHost));
    this.#clock = options.clock ?? systemClock;
    this.#engine = new Engine(this.#docker, this.#clock, endpointName(dockerHost));
    this.#instance = options.instance;
    this.#runtime = options.runtime ?? "";
    this.#deadManMs = options.deadManMs ?? DEAD_MAN_MS;
    this.#profiles = loadProfiles();
    this.#programs = new Programs(this.#engine, options.instance, options.image);
    this.#network = new OpenNetwork(this.#engine, options.instance);
    this.#log = options.log ?? (() => {});
  }

  async open(spec: SandboxSpec, signal?: AbortSignal): Promise<Sandbox> {
    const profile = this.#profiles[spec.profile];
    const kind = typeof spec.network === "string" ? spec.network : "allow-list";
    if (!profile.networks.includes(kind)) {
      throw new AppError("internal", `network ${kind} does not exist in the ${spec.profile} profile`);
    }
    const name = `proctor-${randomUUID()}`;
    let network: string | undefined;
    let creating: Promise<Docker.Container> | undefined;
    let container: Docker.Container | undefined;
    let link: SupervisorLink | undefined;
    const control = containerControl({
      engine: this.#engine,
      name,
      log: this.#log,
      remove: () => this.#removeOnce(name),
      onRemoved: async () => {
        if (network !== undefined) await this.#network.release();
      },
    });
    try {
      if (spec.network === "open") network = await this.#network.acquire();
      const asked = containerSpec(spec, profile, {
        name,
        programsVolume: await this.#programs.volume(signal),
        openNetwork: network,
        runtime: this.#runtime,
        deadManMs: this.#deadManMs,
      });
      const what = `opening a sandbox of image ${spec.image}`;
      // not aborted on the way: a request that was cut off may still make its container, after we looked for it
      const made = this.#docker.createContainer(asked);
      creating = made;
      const running = await this.#engine.call("create", what, () => made);
      container = running;
      signal?.throwIfAborted();
      const socket = await this.#engine.call("attach", what, () => attach(this.#docker, running.id), signal);
      link = new SupervisorLink(socket, { clock: this.#clock, heartbeatMs: this.#deadManMs / 10, missedMax: 5 });
      await this.#engine.call("start", what, (abortSignal) => running.start({ abortSignal }), signal);
      const [facts, info] = await Promise.all([
        this.#hello(link, signal),
        this.#engine.call("inspect", what, (abortSignal) => running.inspect({ abortSignal }), signal),
      ]);
      link.throwIfDead();
      const differences = [...checkFacts(facts, spec, profile), ...checkInspect(info, asked)];
      if (differences.length > 0) {
        throw new AppError(
          "sandbox_failed",
          `${what}: the engine did not give what was asked: ${differences.join("; ")}`,
        );
      }
      const runtime = info.HostConfig.Runtime ?? this.#runtime;
      const wayOut = typeof spec.network === "string" ? undefined : new WayOut(link, spec.network, this.#clock);
      await wayOut?.ready();
      const sandbox = new DockerSandbox({
        id: running.id,
        spec,
        profile,
        runtime,
        link,
        control,
        clock: this.#clock,
        wayOut,
      });
      if (profile.watchDisk) this.#watch(sandbox, running, link);
      return sandbox;
    } catch (error) {
      link?.fail("the sandbox could not be opened");
      this.#programs.forget();
      if (container === undefined) void creating?.then(() => this.remove(name)).catch(() => {});
      await control.remove();
      throw error;
    }
  }

  async commit(sandbox: Sandbox, reference: string, labels: Readonly<Record<string, string>>): Promise<KeptImage> {
    if (sandbox.spec.profile !== "build") {
      throw new AppError("internal", `a ${sandbox.spec.profile} sandbox is never kept as an image`);
    }
    await sandbox.endAll();
    const query = { container: sandbox.id, ...splitReference(reference), pause: "false" };
    const config = {
      Labels: keptLabels(sandbox.spec.labels, labels),
      Env: [],
      // an empty entry point would be taken from the container: the supervisor and its arguments
      Entrypoint: ["/usr/bin/env"],
      Cmd: ["bash"],
      User: "0:0",
      WorkingDir: "/",
    };
    await this.#engine.call("commit", `keeping image ${reference}`, (abortSignal) =>
      this.#docker.getContainer(sandbox.id).commit({ _query: query, _body: config, abortSignal }),
    );
    const kept = await this.findImage(reference);
    if (kept === undefined) throw new AppError("sandbox_failed", `image ${reference} is gone right after it was kept`);
    return kept;
  }

  async findImage(reference: string): Promise<KeptImage | undefined> {
    return this.#unlessMissing(`reading image ${reference}`, async () => {
      const { Id, Size } = await this.#docker.getImage(reference).inspect();
      return { id: Id, sizeBytes: Size };
    });
  }

  async removeImage(reference: string): Promise<void> {
    await this.#unlessMissing(`removing image ${reference}`, () =>
      this.#docker.getImage(reference).remove({ force: true }),
    );
  }

  async ensureVolume(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
    await this.#engine.call("create", `making volume ${name}`, () =>
      this.#docker.createVolume({
        Name: name,
        Driver: "local",
        Labels: { ...sharedLabels(this.#instance), ...labels },
      }),
    );
  }

  async hasVolume(name: string): Promise<boolean> {
    const info = await this.#unlessMissing(`reading volume ${name}`, () => this.#docker.getVolume(name).inspect());
    return info !== undefined;
  }

  async removeVolume(name: string): Promise<void> {
    await this.#unlessMissing(`removing volume ${name}`, () => this.#docker.getVolume(name).remove({ force: true }));
  }

  async listVolumes(labels: Readonly<Record<string, string>>): Promise<readonly string[]> {
    const label = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    const found = await this.#engine.call("list", "listing volumes", () =>
      this.#docker.listVolumes({ filters: { label } }),
    );
    return (found.Volumes ?? []).map(({ Name }) => Name);
  }

  async list(instance: string): Promise<readonly FoundSandbox[]> {
    const infos = await this.#engine.call("list", "listing sandboxes", () =>
      this.#docker.listContainers({ all: true, filters: { label: [`proctor.instance=${instance}`] } }),
    );
    // Older engines go on listing, for ever, some containers whose removal has long ended; inspect denies them.
    return infos.filter(({ State }) => State !== "removing").map(found);
  }

  async remove(id: string): Promise<void> {
    await this.#removeOnce(id).catch((error: unknown) => {
      // somebody else is removing it: that is what was wanted
      if (!isConflict(error)) throw error;
    });
  }

  /** Like `remove`, but a removal by somebody else that is under way is an error: it is not gone yet. */
  async #removeOnce(id: string): Promise<void> {
    const options = { force: true, v: true };
    await this.#unlessMissing(`removing container ${id}`, () => this.#docker.getContainer(id).remove(options));
  }

  async ping(signal?: AbortSignal): Promise<EngineInfo> {
    const info = await this.#engine.call("ping", "asking the engine", () => this.#docker.info(), signal);
    return {
      version: info.ServerVersion,
      storageDriver: info.Driver,
      cgroupVersion: info.CgroupVersion ?? "1",
      runtimes: Object.keys(info.Runtimes ?? {}),
    };
  }

  async #hello(link: SupervisorLink, signal: AbortSignal | undefined): Promise<ReadonlyMap<string, string>> {
    const ended = new AbortController();
    const late = this.#clock.sleep(HELLO_MS, ended.signal).then(
      () => link.fail(`the supervisor said nothing for ${HELLO_MS} ms`),
      () => {},
    );
    const onAbort = () => link.fail("opening was aborted");
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await link.hello;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      ended.abort();
      await late;
    }
  }

  #watch(sandbox: DockerSandbox, container: Docker.Container, link: SupervisorLink): void {
    const over = new AbortController();
    void link.dead.then(() => over.abort());
    void watchDisk({
      clock: this.#clock,
      limitBytes: sandbox.spec.resources.diskBytes,
      signal: over.signal,
      onFull: () => sandbox.diskIsFull(),
      measure: async () => {
        const info = await this.#engine.call("size", "measuring a sandbox", () =>
          container.inspect({ size: true } as Docker.ContainerInspectOptions),
        );
        return (info as { SizeRw?: number }).SizeRw ?? 0;
      },
    });
  }

  async #unlessMissing<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#engine.call("remove", what, work);
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }
}
