import { describe, expect, it } from "vitest";
import { containerSpec, labelsOf } from "../../../src/sandbox/docker/container-spec.ts";
import type { SandboxSpec } from "../../../src/sandbox/port.ts";
import { loadProfiles } from "../../../src/sandbox/profiles.ts";
import { generateSeccomp } from "../../../src/sandbox/seccomp/generate.ts";
import { specOf } from "../contract.ts";

const profiles = loadProfiles();
const placement = {
  name: "proctor-x",
  programsVolume: "programs",
  openNetwork: "proctor-open-x",
  runtime: "",
  deadManMs: 30_000,
};
const make = (change: Partial<SandboxSpec> = {}, place: Partial<typeof placement> = {}) => {
  const spec = specOf("i", "image", change);
  return containerSpec(spec, profiles[spec.profile], { ...placement, ...place });
};

describe("a strict spec in the engine's words", () => {
  const made = make();

  it.each<[field: string, value: unknown, why: string]>([
    ["ReadonlyRootfs", true, "what a task could leave behind"],
    ["Privileged", false, "everything else would be void"],
    ["CapDrop", ["ALL"], "nothing by default"],
    ["CapAdd", ["SETUID", "SETGID", "SETPCAP", "KILL"], "what the supervisor needs to become and end others"],
    ["NetworkMode", "none", "NetworkDisabled breaks localhost"],
    ["IpcMode", "private", "shared memory between tasks"],
    ["CgroupnsMode", "private", "container ids in /proc/self/cgroup"],
    ["PidMode", "", "processes of others"],
    ["Memory", 256 * 1024 ** 2, "the spec's"],
    ["MemorySwap", 256 * 1024 ** 2, "equal to Memory: no swap; absent would be twice as much"],
    ["PidsLimit", 128, "0 would be no limit"],
    ["NanoCpus", 1_000_000_000, "the spec's"],
    ["Init", false, "the supervisor is PID 1"],
    ["AutoRemove", false, "its end is read first"],
    ["LogConfig", { Type: "none", Config: {} }, "log files grow on the host"],
    ["RestartPolicy", { Name: "no" }, "a sandbox is used once"],
    ["OomScoreAdj", 500, "a sandbox goes before the server"],
  ])("%s is %j: %s", (field, value) => {
    expect((made.HostConfig as unknown as Record<string, unknown>)[field]).toEqual(value);
  });

  it.each(["strict", "build", "paranoid"] as const)(
    "%s brings its own filter, in full, beside no-new-privileges",
    (name) => {
      const options = make({ profile: name }).HostConfig?.SecurityOpt ?? [];
      expect(options.slice(0, 1)).toEqual(["no-new-privileges"]);
      expect(options.slice(1)).toEqual([`seccomp=${JSON.stringify(generateSeccomp(name))}`]);
    },
  );

  it("every tmpfs is bounded in bytes and inodes, and never carries devices or setuid", () => {
    const places = Object.entries(made.HostConfig?.Tmpfs ?? {});
    expect(places.map(([path]) => path).sort()).toEqual(
      ["/agent", "/home", "/repo", "/run", "/task", "/tmp", "/var/tmp"].sort(),
    );
    for (const [, options] of places)
      expect(options).toMatch(/^rw,(no)?exec,nosuid,nodev,size=\d+,nr_inodes=\d+,mode=\d{4}$/);
    expect(made.HostConfig?.Tmpfs?.["/repo"]).toContain(`size=${128 * 1024 ** 2}`);
  });

  it("nothing of the server's environment goes in, and the supervisor is what starts", () => {
    expect(made).toMatchObject({
      Env: [],
      User: "0:0",
      Entrypoint: ["/proctor/bin/supervisor"],
      Tty: false,
      OpenStdin: true,
      StdinOnce: true,
    });
    expect(made.Cmd?.slice(0, 3)).toEqual(["strict", "30000", "300000"]);
    expect(made.Cmd).toContain("1777:/repo");
    expect(make({ profile: "paranoid" }).Cmd?.[0], "the supervisor knows two ways of life").toBe("strict");
    expect(made.HostConfig).not.toHaveProperty("Runtime");
    expect(make({}, { runtime: "runsc" }).HostConfig?.Runtime).toBe("runsc");
  });

  it("our programs come from the pristine volume, read-only, before anything else", () => {
    const mounts = make({
      mounts: [
        { kind: "volume", source: "agent-1", target: "/agent", readOnly: true },
        { kind: "hostPath", source: "/srv/git", target: "/git", readOnly: true },
      ],
    });
    expect(
      mounts.HostConfig?.Mounts?.map(({ Type, Source, Target, ReadOnly }) => [Type, Source, Target, ReadOnly]),
    ).toEqual([
      ["volume", "programs", "/proctor/bin", true],
      ["volume", "agent-1", "/agent", true],
      ["bind", "/srv/git", "/git", true],
    ]);
    expect(mounts.HostConfig?.Tmpfs).not.toHaveProperty("/agent");
    expect(mounts.Cmd).not.toContain("0755:/agent");
  });
});

describe("a build spec in the engine's words", () => {
  it("may write and has its own network, but no device, no raw socket, no mount", () => {
    const made = make({ profile: "build", network: "open" });
    expect(made.HostConfig).toMatchObject({ ReadonlyRootfs: false, NetworkMode: "proctor-open-x", Tmpfs: {} });
    for (const capability of [
      "SYS_ADMIN",
      "NET_RAW",
      "NET_ADMIN",
      "MKNOD",
      "SYS_PTRACE",
      "SYS_MODULE",
      "DAC_READ_SEARCH",
    ]) {
      expect(made.HostConfig?.CapAdd).not.toContain(capability);
    }
  });
});

describe("labels", () => {
  it("are all there and bounded", () => {
    const labels = labelsOf({ instance: "i", batch: "b", task: "t".repeat(1_000), attempt: 2, phase: "tests" });
    expect(labels).toEqual({
      "proctor.instance": "i",
      "proctor.batch": "b",
      "proctor.task": "t".repeat(200),
      "proctor.attempt": "2",
      "proctor.phase": "tests",
    });
  });
});
