import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadProfiles, parseProfile } from "../../src/sandbox/profiles.ts";

const folder = join(import.meta.dirname, "../../sandbox-profiles");
const textOf = (name: string) => readFileSync(join(folder, name), "utf8");
const strict = JSON.parse(textOf("strict.json")) as Record<string, unknown>;

describe("profiles", () => {
  it("the three that are here load", () => {
    const profiles = loadProfiles();
    expect(profiles.strict.users).toEqual(["agent", "tests"]);
    expect(profiles.build.users).toContain("root");
    expect(profiles.paranoid.users).toEqual(["agent", "tests"]);
    expect(new Set(Object.values(profiles).map(({ seccompJson }) => seccompJson)).size).toBe(3);
  });

  it("every field of each is explained in the README", () => {
    const readme = textOf("README.md");
    for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
      for (const field of Object.keys(JSON.parse(textOf(file)) as object)) expect(readme).toContain(`\`${field}\``);
    }
  });

  it.each(Object.keys(strict))("R11 is refused without %s", (field) => {
    const { [field]: _dropped, ...rest } = strict;
    expect(() => parseProfile("strict", JSON.stringify(rest))).toThrow(
      expect.objectContaining({ code: "invalid_config", message: expect.stringContaining(field) }),
    );
  });

  it.each([
    { why: "a misspelt field", change: { readonlyRoot: true }, says: "readonlyRoot" },
    { why: "another name", change: { name: "build" }, says: "its name is build" },
    { why: "root", change: { users: ["root"] }, says: "users" },
    { why: "a writable root", change: { readOnlyRoot: false }, says: "readOnlyRoot" },
    {
      why: "one capability more",
      change: { capabilities: ["SETUID", "SETGID", "SETPCAP", "KILL", "SYS_ADMIN"] },
      says: "only",
    },
    { why: "one capability fewer", change: { capabilities: ["SETUID", "SETGID", "SETPCAP"] }, says: "KILL" },
    { why: "new privileges", change: { noNewPrivileges: false }, says: "noNewPrivileges" },
    { why: "no seccomp", change: { seccomp: "unconfined" }, says: "seccomp" },
    { why: "the filter of another profile", change: { seccomp: "seccomp/build.json" }, says: "another profile's" },
    { why: "a shared IPC namespace", change: { ipc: "host" }, says: "ipc" },
    { why: "core dumps", change: { ulimits: { core: 1, nofile: 1, memlock: 1, msgqueue: 1 } }, says: "ulimits.core" },
    {
      why: "a tmpfs without size",
      change: { tmpfs: [{ path: "/tmp", mode: "1777", exec: true, inodes: 1 }] },
      says: "size",
    },
    {
      why: "a tmpfs option in a path",
      change: { tmpfs: [{ path: "/tmp:exec", size: 1, mode: "1777", exec: true, inodes: 1 }] },
      says: "path",
    },
    { why: "an unknown network", change: { networks: ["host"] }, says: "networks" },
  ])("strict with $why is refused", ({ change, says }) => {
    expect(() => parseProfile("strict", JSON.stringify({ ...strict, ...change }))).toThrow(
      expect.objectContaining({ code: "invalid_config", message: expect.stringContaining(says) }),
    );
  });

  it("text that is not JSON is refused by name", () => {
    expect(() => parseProfile("build", "{")).toThrow(/sandbox profile build\.json: not JSON/);
  });
});
