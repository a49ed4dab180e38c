/**
 * A spec as the engine's words: one pure function, so that a unit test can hold every security field. What the running
 * container really got is checked again by checks.ts.
 */
import type Docker from "dockerode";
import type { SandboxLabels, SandboxSpec } from "../port.ts";
import type { Profile } from "../profiles.ts";

export const SUPERVISOR = "/proctor/bin/supervisor";
export const PROGRAMS = "/proctor/bin";

/** Ids inside: fixed by the image. */
export const users = { root: 0, agent: 10_001, tests: 10_002 } as const;

/** How a label is cut: labels are for operators' filters, never for decisions on untrusted values. */
const LABEL_CHARS_MAX = 200;

export interface Placement {
  /** container name: how it is found again when `create` was cut off */
  readonly name: string;
  /** volume with our own programs, filled from the pristine image: an environment image can't replace them */
  readonly programsVolume: string;
  /** network name for `open` */
  readonly openNetwork: string | undefined;
  /** empty: the engine's default */
  readonly runtime: string;
  /** silence of the host after which the supervisor exits, ms */
  readonly deadManMs: number;
}

/** @returns the labels that everything of ours carries */
export function labelsOf(labels: SandboxLabels): Record<string, string> {
  const cut = (text: string) => text.slice(0, LABEL_CHARS_MAX);
  return {
    "proctor.instance": cut(labels.instance),
    "proctor.batch": cut(labels.batch),
    "proctor.task": cut(labels.task),
    "proctor.attempt": `${labels.attempt}`,
    "proctor.phase": labels.phase,
  };
}

/** The engine's create request for `spec` under `profile`. */
export function containerSpec(
  spec: SandboxSpec,
  profile: Profile,
  placement: Placement,
): Docker.ContainerCreateOptions {
  const { resources } = spec;
  const places = placesOf(spec, profile);
  return {
    name: placement.name,
    Image: spec.image,
    Entrypoint: [SUPERVISOR],
    Cmd: [
      profile.users.includes("root") ? "build" : "strict",
      `${placement.deadManMs}`,
      `${spec.lifetimeMs}`,
      ...modesOf(places),
    ],
    Env: [],
    User: "0:0",
    WorkingDir: "/",
    Hostname: "sandbox",
    Labels: labelsOf(spec.labels),
    // stdin ends when our connection does: a server that crashed leaves no sandbox behind, even before the dead-man time
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    StopTimeout: 0,
    Healthcheck: { Test: ["NONE"] },
    HostConfig: {
      AutoRemove: false,
      RestartPolicy: { Name: "no" },
      Init: false,
      Privileged: false,
      ReadonlyRootfs: profile.readOnlyRoot,
      CapDrop: ["ALL"],
      CapAdd: [...profile.capabilities],
      SecurityOpt: ["no-new-privileges", `seccomp=${profile.seccompJson}`],
      IpcMode: profile.ipc,
      CgroupnsMode: profile.cgroupNamespace,
      PidMode: "",
      UTSMode: "",
      // an allow-list needs none: its way out is the supervisor's line (way-out.ts)
      NetworkMode: spec.network === "open" ? (placement.openNetwork ?? "none") : "none",
      Memory: resources.memoryBytes,
      MemorySwap: resources.memoryBytes,
      NanoCpus: Math.round(resources.cpus * 1e9),
      PidsLimit: resources.pidsMax,
      OomScoreAdj: profile.oomScoreAdj,
      ShmSize: Math.min(profile.shmBytes, resources.memoryBytes),
      Ulimits: ulimitsOf(spec, profile),
      Tmpfs: Object.fromEntries(places.map((place) => [place.path, tmpfsOptions(place, resources.diskBytes)])),
      Mounts: mountsOf(spec, placement),
      MaskedPaths: [...profile.maskedPaths],
      ReadonlyPaths: [...profile.readOnlyPaths],
      LogConfig: { Type: "none", Config: {} },
      ...(placement.runtime === "" ? {} : { Runtime: placement.runtime }),
    } as Docker.HostConfig,
  };
}

function ulimitsOf({ resources }: SandboxSpec, { ulimits }: Profile): Docker.Ulimit[] {
  const limits = { ...ulimits, nofile: resources.openFilesMax ?? ulimits.nofile };
  return Object.entries(limits).map(([Name, value]) => ({ Name, Soft: value, Hard: value }));
}

type Place = Profile["tmpfs"][number];

/** A place that a mount of the spec covers needs no tmpfs under it. */
function placesOf(spec: SandboxSpec, profile: Profile): readonly Place[] {
  const covered = new Set(spec.mounts.map((mount) => mount.target));
  return profile.tmpfs.filter(({ path }) => !covered.has(path));
}

function tmpfsOptions({ size, mode, exec, inodes }: Place, diskBytes: number): string {
  const bytes = size === "disk" ? diskBytes : Math.min(size, diskBytes);
  const options = ["rw", exec ? "exec" : "noexec", "nosuid", "nodev", `size=${bytes}`, `nr_inodes=${inodes}`];
  return [...options, `mode=${mode}`].join(",");
}

/** Told to the supervisor too: runtimes let the mode of the image's folder win over a tmpfs option. */
function modesOf(places: readonly Place[]): string[] {
  return places.map(({ path, mode }) => `${mode}:${path}`);
}

function mountsOf(spec: SandboxSpec, placement: Placement): Docker.MountSettings[] {
  const own: Docker.MountSettings = {
    Type: "volume",
    Source: placement.programsVolume,
    Target: PROGRAMS,
    ReadOnly: true,
    VolumeOptions: { NoCopy: true, Labels: {}, DriverConfig: { Name: "local", Options: {} } },
  };
  const asked = spec.mounts.map((mount): Docker.MountSettings => {
    const common = { Source: mount.source, Target: mount.target, ReadOnly: mount.readOnly };
    return mount.kind === "hostPath"
      ? { ...common, Type: "bind", BindOptions: { Propagation: "rprivate" } }
      : {
          ...common,
          Type: "volume",
          VolumeOptions: { NoCopy: true, Labels: {}, DriverConfig: { Name: "local", Options: {} } },
        };
  });
  return [own, ...asked];
}
