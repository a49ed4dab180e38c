import { describe, expect, it } from "vitest";
import { repoSource } from "../../src/evaluation/repo-source.ts";
import { addressRule } from "../../src/sandbox/egress/addresses.ts";

const isPublic = addressRule([]);
const resolveTo =
  (...addresses: string[]) =>
  async () =>
    addresses;
const nowhere = () => Promise.reject(new Error("ENOTFOUND"));

describe("addresses a git host may have (Y06)", () => {
  it.each([
    ["140.82.112.3", true, "public"],
    ["2606:4700::1", true, "public"],
    ["10.1.2.3", false, "private"],
    ["172.31.255.255", false, "private"],
    ["172.32.0.1", true, "just outside"],
    ["192.168.0.1", false, "private"],
    ["127.0.0.53", false, "loopback"],
    ["0.0.0.0", false, "this host"],
    ["169.254.169.254", false, "cloud metadata"],
    ["100.100.100.200", false, "carrier-grade NAT, a cloud's metadata"],
    ["203.0.113.80", false, "documentation"],
    ["224.0.0.1", false, "multicast"],
    ["255.255.255.255", false, "broadcast"],
    ["::1", false, "loopback"],
    ["::", false, "unspecified"],
    ["::ffff:127.0.0.1", false, "mapped loopback"],
    ["::ffff:7f00:1", false, "mapped loopback in hex"],
    ["::ffff:140.82.112.3", true, "mapped public"],
    ["64:ff9b::a00:1", false, "NAT64 of a private address"],
    ["2002:7f00:1::", false, "6to4"],
    ["fd00::1", false, "unique local"],
    ["fe80::1", false, "link-local"],
    ["not an address", false, "unreadable"],
  ])("%s → %s (%s)", (address, allowed) => {
    expect(isPublic(address)).toBe(allowed);
  });

  it("the operator's ranges are allowed, and nothing beside them", () => {
    const rule = addressRule(["203.0.113.0/24", "fd00:1::/32"]);
    expect([rule("203.0.113.80"), rule("fd00:1::5"), rule("10.0.0.1"), rule("fd00:2::1")]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it.each(["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/8/8", "10.0.0.0/-1", "::/129"])(
    "refuses the range %s by name",
    (cidr) => {
      expect(() => addressRule([cidr])).toThrow(new RegExp(`EGRESS_ALLOW_CIDRS.*${cidr.replaceAll("/", "\\/")}`));
    },
  );
});

describe("where a repository comes from", () => {
  it("https: the checked address is pinned, so that a second answer of DNS changes nothing", async () => {
    const source = await repoSource("https://git.example/o/n.git", isPublic, resolveTo("2606:4700::1", "140.82.112.3"));
    expect(source).toEqual({
      kind: "https",
      url: "https://git.example/o/n.git",
      resolve: "git.example:443:140.82.112.3",
    });
  });

  it.each([
    { addresses: ["127.0.0.1"], why: "loopback" },
    { addresses: ["140.82.112.3", "10.0.0.1"], why: "one bad among good" },
    { addresses: [], why: "none at all" },
  ])("https: refuses a host whose addresses are $why", async ({ addresses }) => {
    expect(await repoSource("https://git.example/o/n", isPublic, resolveTo(...addresses))).toMatchObject({
      kind: "refused",
    });
  });

  it("https: an unresolvable name is the network's fault, to be tried again", async () => {
    await expect(repoSource("https://git.example/o/n", isPublic, nowhere)).rejects.toMatchObject({
      code: "git_unreachable",
    });
  });

  it("file: the folder is mounted read-only at a place of ours: no path of the host is seen inside", async () => {
    expect(await repoSource("file:///srv/git/o%2Bn/repo", isPublic, nowhere)).toEqual({
      kind: "file",
      url: "file:///mnt/source",
      mount: { kind: "hostPath", source: "/srv/git/o+n/repo", target: "/mnt/source", readOnly: true },
    });
  });

  it.each([
    { url: "file:///", why: "everything" },
    { url: "file:///srv", why: "too near the root" },
    { url: "file:///srv/a%0Ab", why: "control character" },
    { url: "file:///srv/%2e%2e%2fetc/x", why: "climbs after decoding" },
    { url: "file:///srv//x", why: "not normalised" },
    { url: "file:///srv/a%00b", why: "NUL" },
    { url: "file:///srv/a%", why: "not decodable" },
    { url: "file://host/srv/x", why: "another host" },
    { url: "http://git.example/o/n", why: "plain text" },
    { url: "ssh://git@git.example/o/n", why: "another transport" },
    { url: "ext::sh -c id", why: "a command" },
    { url: "--upload-pack=id", why: "an option" },
    { url: "https://user:pass@git.example/o/n", why: "credentials" },
    { url: "https://git.example/o/n?x", why: "query" },
    { url: "https://127.0.0.1/o/n", why: "literal loopback" },
    { url: "https://[::1]/o/n", why: "literal loopback" },
    { url: "https://2130706433/o/n", why: "loopback as a number" },
    { url: "", why: "empty" },
  ])("refuses $url: $why", async ({ url }) => {
    expect(await repoSource(url, isPublic, resolveTo("140.82.112.3"))).toMatchObject({ kind: "refused" });
  });
});
