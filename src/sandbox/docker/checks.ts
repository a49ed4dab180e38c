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

/** @returns what the engine took differently from what it was asked, one sentence each */
export function checkInspect(info: Docker.ContainerInspectInfo, asked: Docker.ContainerCreateOptions): string[] {
  const got = info.HostConfig as unknown as Record<string, unknown>;
  const want = asked.HostConfig as unknown as Record<string, unknown>;
  const names = [
    "Privileged",
    "ReadonlyRootfs",
    "CapDrop",
    "SecurityOpt",
    "IpcMode",
    "NetworkMode",
    "PidMode",
    "Memory",
    "MemorySwap",
    "NanoCpus",
    "PidsLimit",
    "ShmSize",
    "OomScoreAdj",
    "Tmpfs",
  ];
  const differing = names.filter((name) => canonical(got[name]) !== canonical(want[name]));
  const masked = got.MaskedPaths;
  if (!Array.isArray(masked) || masked.length === 0) differing.push("MaskedPaths");
  return differing.map((name) => `${name} is ${canonical(got[name])}, not ${canonical(want[name])}`);
}

function canonical(value: unknown): string {
  if (value === null || value === undefined) return "absent";
  // engines answer "none asked" as null, [] or {}
  if (Array.isArray(value)) return value.length === 0 ? "absent" : JSON.stringify([...value].sort());
  if (typeof value === "object") return canonical(Object.entries(value).map((entry) => entry.join("=")));
  return JSON.stringify(value);
}
