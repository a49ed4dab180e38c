/**
 * R11: each security field is dropped in turn between us and the engine, as a bug or an engine that ignores it would, and
 * no sandbox is ever handed out. What is refused is the running container: the check, not the request, is under test.
 */
import Docker from "dockerode";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { AppError } from "../../../src/kernel/errors.ts";
import { neverAsked } from "../../../src/sandbox/docker/checks.ts";
import { type ContractSubject, megabyte, specOf } from "../contract.ts";
import { makeSubject, whyNoEngine } from "../engine.ts";

const missing = await whyNoEngine();
if (missing !== undefined) it.skip(missing, () => {});

type Asked = Docker.ContainerCreateOptions;

interface Case {
  readonly why: string;
  /** field that the message must name */
  readonly names: string;
  readonly host?: Readonly<Record<string, unknown>>;
  readonly rest?: Asked;
  readonly profile?: "strict" | "build";
  /** what an engine says that can't do it at all, as one that runs inside a container */
  readonly or?: RegExp;
}

const caps = ["SETUID", "SETGID", "SETPCAP", "KILL"];

const cases: readonly Case[] = [
  { why: "no filter", names: "SecurityOpt", host: { SecurityOpt: ["no-new-privileges", "seccomp=unconfined"] } },
  { why: "an empty filter", names: "SecurityOpt", host: { SecurityOpt: ["no-new-privileges", "seccomp={}"] } },
  { why: "the engine's own filter", names: "SecurityOpt", host: { SecurityOpt: ["no-new-privileges"] } },
  {
    why: "no filter in a build",
    names: "SecurityOpt",
    host: { SecurityOpt: ["no-new-privileges", "seccomp=unconfined"] },
    profile: "build",
  },
  { why: "one capability more", names: "CapAdd", host: { CapAdd: [...caps, "SYS_ADMIN"] } },
  { why: "another one in a build", names: "CapAdd", host: { CapAdd: [...caps, "SYS_PTRACE"] }, profile: "build" },
  { why: "nothing dropped", names: "CapDrop", host: { CapDrop: [] } },
  { why: "privileged", names: "Privileged", host: { Privileged: true }, or: /unable to apply caps/ },
  { why: "a root that can be written", names: "ReadonlyRootfs", host: { ReadonlyRootfs: false } },
  { why: "no limit of processes", names: "PidsLimit", host: { PidsLimit: 0 } },
  { why: "more processes", names: "PidsLimit", host: { PidsLimit: 129 } },
  { why: "twice the memory, as swap", names: "MemorySwap", host: { MemorySwap: 512 * megabyte } },
  { why: "no limit of memory", names: "Memory", host: { Memory: 0, MemorySwap: 0 } },
  { why: "all processors", names: "NanoCpus", host: { NanoCpus: 0 } },
  { why: "the default bridge", names: "NetworkMode", host: { NetworkMode: "bridge" } },
  { why: "the host's network", names: "NetworkMode", host: { NetworkMode: "host" } },
  { why: "the host's IPC", names: "IpcMode", host: { IpcMode: "host" } },
  { why: "IPC for others", names: "IpcMode", host: { IpcMode: "shareable" } },
  { why: "the host's processes", names: "PidMode", host: { PidMode: "host" } },
  { why: "the host's name", names: "UTSMode", host: { UTSMode: "host" }, rest: { Hostname: "" } },
  { why: "the host's cgroups", names: "CgroupnsMode", host: { CgroupnsMode: "host" } },
  { why: "nothing masked", names: "MaskedPaths", host: { MaskedPaths: [] } },
  { why: "settings that can be written", names: "ReadonlyPaths", host: { ReadonlyPaths: [] } },
  { why: "no ulimits", names: "Ulimits", host: { Ulimits: [] } },
  { why: "killed last when memory ends", names: "OomScoreAdj", host: { OomScoreAdj: 0 } },
  { why: "more shared memory", names: "ShmSize", host: { ShmSize: 128 * megabyte } },
  {
    why: "a device",
    names: "Devices",
    host: { Devices: [{ PathOnHost: "/dev/kmsg", PathInContainer: "/dev/kmsg", CgroupPermissions: "r" }] },
  },
  { why: "every device by rule", names: "DeviceCgroupRules", host: { DeviceCgroupRules: ["a *:* rwm"] } },
  { why: "a folder of the host", names: "Binds", host: { Binds: ["/etc:/mnt:ro"] } },
  { why: "a group", names: "GroupAdd", host: { GroupAdd: ["999"] } },
  { why: "a kernel setting", names: "Sysctls", host: { Sysctls: { "net.ipv4.ip_unprivileged_port_start": "0" } } },
  { why: "logs on the host", names: "LogConfig", host: { LogConfig: { Type: "json-file", Config: {} } } },
  { why: "a life after its end", names: "RestartPolicy", host: { RestartPolicy: { Name: "always" } } },
  { why: "another user", names: "User", rest: { User: "10001:10001" }, or: /supervisor/ },
];

describe.runIf(missing === undefined)("R11 a container that is not as asked", () => {
  let subject: ContractSubject;
  const create = Docker.prototype.createContainer as (asked: Asked) => Promise<Docker.Container>;

  beforeAll(async () => {
    subject = await makeSubject();
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
  afterAll(async () => {
    await subject?.dispose();
  });

  /** Between host and engine: what was asked of a sandbox, changed. @returns how many sandboxes were asked for */
  function between(change: (asked: Asked) => Asked): () => number {
    let count = 0;
    vi.spyOn(Docker.prototype, "createContainer").mockImplementation(function (this: Docker, asked: Asked) {
      // one that has no stdin only fills the volume of our own programs and is never started
      if (asked.OpenStdin !== true) return create.call(this, asked);
      count++;
      return create.call(this, change(asked));
    } as typeof Docker.prototype.createContainer);
    return () => count;
  }

  it.each(cases)("$why: refused, and $names is named", async (one) => {
    const count = between((asked) => ({ ...asked, ...one.rest, HostConfig: { ...asked.HostConfig, ...one.host } }));
    const spec = specOf(subject.instance, subject.image, { profile: one.profile ?? "strict" });
    const error = (await subject.host.open(spec).then(
      (sandbox) => sandbox.close(),
      (reason: unknown) => reason,
    )) as AppError | undefined;
    expect(count()).toBe(1);
    expect(error).toMatchObject({ code: "sandbox_failed" });
    const named = new RegExp(`\\b${one.names} is |${one.or?.source ?? "$^"}`);
    expect(error?.message).toMatch(named);
    expect(error?.message.length).toBeLessThan(2_000);
  });

  it("new privileges: the kernel says so too, not only the engine", async () => {
    between((asked) => {
      const options = (asked.HostConfig?.SecurityOpt ?? []).filter((option: string) => option.startsWith("seccomp="));
      return { ...asked, HostConfig: { ...asked.HostConfig, SecurityOpt: options } };
    });
    const opening = subject.host.open(specOf(subject.instance, subject.image));
    await expect(opening).rejects.toMatchObject({
      code: "sandbox_failed",
      message: expect.stringMatching(/own\.NoNewPrivs is 0, not 1.*SecurityOpt is /s),
    });
  });

  it.each([
    { why: "without a size", drop: /,size=\d+/ },
    { why: "without a bound of inodes", drop: /,nr_inodes=\d+/ },
    { why: "with setuid files", drop: /,nosuid/ },
    { why: "with devices", drop: /,nodev/ },
  ])("a tmpfs $why: refused, and it is named", async ({ drop }) => {
    between((asked) => {
      const places = Object.entries(asked.HostConfig?.Tmpfs as Record<string, string>);
      const Tmpfs = Object.fromEntries(places.map(([path, options]) => [path, options.replace(drop, "")]));
      return { ...asked, HostConfig: { ...asked.HostConfig, Tmpfs } };
    });
    await expect(subject.host.open(specOf(subject.instance, subject.image))).rejects.toMatchObject({
      code: "sandbox_failed",
      message: expect.stringContaining("Tmpfs is "),
    });
  });

  it("control: the same way through, with nothing changed, opens", async () => {
    const count = between((asked) => asked);
    await (await subject.host.open(specOf(subject.instance, subject.image))).close();
    expect(count()).toBe(1);
  });

  it("no field that this engine knows is left unlooked at", async () => {
    await using sandbox = await subject.host.open(specOf(subject.instance, subject.image));
    const { HostConfig } = await new Docker().getContainer(sandbox.id).inspect();
    let asked: Asked = {};
    between((one) => {
      asked = one;
      return one;
    });
    await (await subject.host.open(specOf(subject.instance, subject.image))).close();
    const looked = new Set([...Object.keys(asked.HostConfig ?? {}), ...neverAsked]);
    // Runtime is compared where one was asked for; there is no terminal; swap is off
    const harmless = ["Runtime", "ConsoleSize", "MemorySwappiness"];
    expect(Object.keys(HostConfig).filter((name) => !looked.has(name) && !harmless.includes(name))).toEqual([]);
  });

  it("leaves nothing behind", async () => {
    expect(await subject.host.list(subject.instance)).toEqual([]);
  });
});
