/**
 * What a running container really got, against what was asked: engines ignore misspelt fields, kernels lack features, and
 * settings fail open. Compared before any untrusted command runs; one difference and the sandbox is not used.
 */
import type Docker from "dockerode";
import type { SandboxSpec } from "../port.ts";
import type { Profile } from "../profiles.ts";

/** Bits of the capabilities that a profile may name, by number as in linux/capability.h. */
const capabilityBits: Readonly<Record<string, number>> = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  FOWNER: 3,
  FSETID: 4,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  SETPCAP: 8,
  NET_BIND_SERVICE: 10,
  SYS_CHROOT: 18,
  SETFCAP: 31,
};

/** The mask of a set of capabilities as /proc prints it. @throws Error for one that has no number here */
export function capabilityMask(names: readonly string[]): string {
  let mask = 0n;
  for (const name of names) {
    const bit = capabilityBits[name];
    if (bit === undefined) throw new Error(`capability ${name} has no number in checks.ts`);
    mask |= 1n << BigInt(bit);
  }
  return mask.toString(16).padStart(16, "0");
}

const NONE = "0".repeat(16);
const PAGE_BYTES = 4_096;

/** @returns what differs from the spec as the kernel tells it from inside, one sentence each; empty: all is as asked */
export function checkFacts(facts: ReadonlyMap<string, string>, spec: SandboxSpec, profile: Profile): string[] {
  const expected: Record<string, string> = {
    "own.Uid": "0",
    "own.CapEff": capabilityMask(profile.capabilities),
    "own.CapBnd": capabilityMask(profile.capabilities),
    "own.NoNewPrivs": "1",
    "own.Seccomp": "2",
    "child.Uid": "10001",
    "child.CapInh": NONE,
    "child.CapPrm": NONE,
    "child.CapEff": NONE,
    "child.CapBnd": NONE,
    "child.CapAmb": NONE,
    "child.NoNewPrivs": "1",
    "child.Seccomp": "2",
    "memory.max": `${Math.floor(spec.resources.memoryBytes / PAGE_BYTES) * PAGE_BYTES}`,
    "pids.max": `${spec.resources.pidsMax}`,
  };
  return Object.entries(expected)
    .filter(([name, value]) => facts.get(name) !== value)
    .map(([name, value]) => `${name} is ${facts.get(name) ?? "unknown"}, not ${value}`);
}

/** Fields that we never ask for, all that engines know beside ours: what is there all the same was not our wish. */
export const neverAsked: readonly string[] = `
  Binds BlkioDeviceReadBps BlkioDeviceReadIOps BlkioDeviceWriteBps BlkioDeviceWriteIOps BlkioWeight BlkioWeightDevice Cgroup
  CgroupParent ContainerIDFile CpuCount CpuPercent CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpuShares CpusetCpus
  CpusetMems DeviceCgroupRules DeviceRequests Devices Dns DnsOptions DnsSearch ExtraHosts GroupAdd IOMaximumBandwidth
  IOMaximumIOps Isolation KernelMemory KernelMemoryTCP Links MemoryReservation OomKillDisable PortBindings PublishAllPorts
  StorageOpt Sysctls UsernsMode VolumeDriver VolumesFrom`
  .trim()
  .split(/\s+/);

/** @returns what the engine took differently from what it was asked, one sentence each */
export function checkInspect(info: Docker.ContainerInspectInfo, asked: Docker.ContainerCreateOptions): string[] {
  const host = differences(info.HostConfig as unknown as Fields, asked.HostConfig as unknown as Fields, neverAsked);
  // not the environment: an image may bring one, and the supervisor passes nothing of it on
  const { User, Entrypoint, Cmd } = asked;
  return [...host, ...differences(info.Config as unknown as Fields, { User, Entrypoint, Cmd }, [])];
}

type Fields = Readonly<Record<string, unknown>>;

/** Every field that was asked for, and every one that must not be there. */
function differences(got: Fields, want: Fields, absent: readonly string[]): string[] {
  return [...Object.keys(want), ...absent]
    .map((name) => ({ name, has: canonical(got[name], name), wants: canonical(want[name], name) }))
    .filter(({ has, wants }) => has !== wants)
    .map(({ name, has, wants }) => `${name} is ${excerpt(has, wants)}, not ${excerpt(wants, has)}`);
}

const EXCERPT_CHARS = 120;

/** A filter is 10 kB of JSON: what is shown begins shortly before the first difference. */
function excerpt(text: string, other: string): string {
  if (text.length <= EXCERPT_CHARS) return text;
  let same = 0;
  while (same < text.length && text[same] === other[same]) same++;
  const from = Math.max(0, same - 20);
  return `${from > 0 ? "…" : ""}${text.slice(from, from + EXCERPT_CHARS)}…`;
}

/** One spelling of a value: engines answer "none asked" as null, "", 0, false, [] or {}, and sort lists as they like. */
function canonical(value: unknown, name = ""): string {
  if (isNothing(value)) return "absent";
  if (Array.isArray(value)) {
    const isOrdered = name === "Cmd" || name === "Entrypoint";
    const items = value.map((item) => canonical(name === "CapAdd" ? `${item}`.replace(/^CAP_/, "") : item));
    return `[${(isOrdered ? items : items.sort()).join(",")}]`;
  }
  if (typeof value !== "object") return JSON.stringify(value);
  const entries = Object.entries(value as object).filter(([, field]) => !isNothing(field));
  const fields = entries.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`);
  return fields.length === 0 ? "absent" : `{${fields.sort().join(",")}}`;
}

function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === "" || value === 0 || value === false) return true;
  if (typeof value !== "object") return false;
  return Object.values(value).length === 0;
}
