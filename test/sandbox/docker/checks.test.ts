import type Docker from "dockerode";
import { describe, expect, it } from "vitest";
import { capabilityMask, checkFacts, checkInspect } from "../../../src/sandbox/docker/checks.ts";
import { containerSpec } from "../../../src/sandbox/docker/container-spec.ts";
import { loadProfiles } from "../../../src/sandbox/profiles.ts";
import { specOf } from "../contract.ts";

const profile = loadProfiles().strict;
const spec = specOf("i", "image");
const none = "0".repeat(16);
const good: Readonly<Record<string, string>> = {
  "own.Uid": "0",
  "own.CapEff": "00000000000001e0",
  "own.CapBnd": "00000000000001e0",
  "own.NoNewPrivs": "1",
  "own.Seccomp": "2",
  "child.Uid": "10001",
  "child.CapInh": none,
  "child.CapPrm": none,
  "child.CapEff": none,
  "child.CapBnd": none,
  "child.CapAmb": none,
  "child.NoNewPrivs": "1",
  "child.Seccomp": "2",
  "memory.max": `${256 * 1024 ** 2}`,
  "pids.max": "128",
};

describe("what the kernel tells from inside", () => {
  it("a sandbox as asked passes", () => {
    expect(checkFacts(new Map(Object.entries(good)), spec, profile)).toEqual([]);
  });

  it.each(Object.keys(good))("R11 without %s it is not used", (name) => {
    const { [name]: _dropped, ...rest } = good;
    expect(checkFacts(new Map(Object.entries(rest)), spec, profile)).toEqual([`${name} is unknown, not ${good[name]}`]);
  });

  it.each([
    { name: "own.Seccomp", value: "0", why: "seccomp={} is unconfined" },
    { name: "own.CapEff", value: "00000000a80425fb", why: "the engine's default set" },
    { name: "child.CapBnd", value: "0000000000000020", why: "one capability can come back" },
    { name: "child.NoNewPrivs", value: "0", why: "setuid files work" },
    { name: "memory.max", value: "max", why: "no limit" },
    { name: "memory.max", value: "9223372036854771712", why: "no limit, as version 1 says it" },
    { name: "pids.max", value: "max", why: "PidsLimit 0 is unlimited" },
  ])("$name $value: $why", ({ name, value }) => {
    expect(checkFacts(new Map(Object.entries({ ...good, [name]: value })), spec, profile)).toHaveLength(1);
  });

  it("knows the mask of every capability that the profiles name", () => {
    expect(capabilityMask(profile.capabilities)).toBe("00000000000001e0");
    for (const { capabilities } of Object.values(loadProfiles()))
      expect(() => capabilityMask(capabilities)).not.toThrow();
    expect(() => capabilityMask(["SYS_ADMIN"])).toThrow(/SYS_ADMIN/);
  });
});

describe("what the engine says it took", () => {
  const asked = containerSpec(spec, profile, {
    name: "n",
    programsVolume: "v",
    openNetwork: undefined,
    runtime: "",
    deadManMs: 1,
  });
  const { User, Entrypoint, Cmd } = asked;
  const inspected = (change: object, config: object = {}): Docker.ContainerInspectInfo =>
    ({
      HostConfig: { ...asked.HostConfig, ...change },
      Config: { User, Entrypoint, Cmd, Env: ["NODE_VERSION=24"], ...config },
    }) as unknown as Docker.ContainerInspectInfo;

  it("the same passes, whatever the order of lists and the spelling of nothing", () => {
    const same = {
      Devices: null,
      Sysctls: {},
      CapAdd: ["CAP_KILL", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"],
      RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
      MaskedPaths: [...profile.maskedPaths].reverse(),
    };
    expect(checkInspect(inspected(same), asked)).toEqual([]);
  });

  it.each([
    ["Privileged", true],
    ["ReadonlyRootfs", false],
    ["CapDrop", null],
    ["SecurityOpt", null],
    ["NetworkMode", "default"],
    ["PidMode", "host"],
    ["IpcMode", "shareable"],
    ["Memory", 0],
    ["MemorySwap", -1],
    ["PidsLimit", null],
    ["NanoCpus", 0],
    ["Tmpfs", {}],
    ["MaskedPaths", []],
    ["MaskedPaths", ["/proc/kcore"]],
    ["ReadonlyPaths", []],
    ["CapAdd", ["SETUID", "SETGID", "SETPCAP", "KILL", "SYS_ADMIN"]],
    ["SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]],
    ["SecurityOpt", ["no-new-privileges", "seccomp={}"]],
    ["SecurityOpt", [`seccomp=${profile.seccompJson}`]],
    ["CgroupnsMode", "host"],
    ["UTSMode", "host"],
    ["UsernsMode", "host"],
    ["Ulimits", null],
    ["Mounts", [{ Type: "bind", Source: "/", Target: "/host" }]],
    ["Binds", ["/:/host"]],
    ["VolumesFrom", ["other"]],
    ["Devices", [{ PathOnHost: "/dev/kmsg" }]],
    ["DeviceRequests", [{ Count: -1 }]],
    ["DeviceCgroupRules", ["a *:* rwm"]],
    ["GroupAdd", ["docker"]],
    ["Sysctls", { "net.ipv4.ip_forward": "1" }],
    ["OomKillDisable", true],
    ["OomScoreAdj", -1000],
    ["LogConfig", { Type: "json-file", Config: {} }],
    ["RestartPolicy", { Name: "always" }],
    ["ShmSize", 1024 ** 4],
  ])("R11 %s = %j is refused", (field, value) => {
    const found = checkInspect(inspected({ [field]: value }), asked);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(field);
    expect(found[0]?.length).toBeLessThan(400);
  });

  it.each([
    ["User", "1000"],
    ["Entrypoint", ["/bin/sh"]],
    ["Cmd", ["build", ...(Cmd ?? []).slice(1)]],
  ])("R11 the process: %s = %j is refused", (field, value) => {
    expect(checkInspect(inspected({}, { [field]: value }), asked)).toEqual([expect.stringContaining(`${field} is`)]);
  });

  it("shows of two filters where they part", () => {
    const other = profile.seccompJson.replace('"clone3"', '"clone4"');
    const [found] = checkInspect(inspected({ SecurityOpt: ["no-new-privileges", `seccomp=${other}`] }), asked);
    expect(found).toMatch(/clone4.*, not .*clone3/);
  });
});
