/** The network of build sandboxes: what is on the list, who is asked for it, and whose fault a refusal is. */
import { describe, expect, it } from "vitest";
import { describeRefused, Egress, egressSettings, hostsIn, isSiteFault } from "../../src/evaluation/egress.ts";
import type { RepoSource } from "../../src/evaluation/repo-source.ts";
import { emptyText } from "../../src/kernel/outcome.ts";
import type { ConnectionCount } from "../../src/sandbox/egress/ledger.ts";
import type { Sandbox } from "../../src/sandbox/port.ts";

const config = { NETWORK_INSTALL: "allow-list", EGRESS_HOSTS: ["image"], REPO_HOSTS: ["git.example"] } as const;
const anyAddress = () => true;
const signal = new AbortController().signal;
const silent = { info: () => {}, warn: () => {} };

function sandboxSaying(text: string, exitCode = 0) {
  const asked: string[][] = [];
  const runForData = async (command: { argv: readonly string[] }) => {
    asked.push([...command.argv]);
    return { outcome: { kind: "exited", exitCode }, stdout: Buffer.from(text), truncated: false, stderr: emptyText };
  };
  return { asked, sandbox: { runForData } as unknown as Sandbox };
}

describe("EGRESS_HOSTS", () => {
  it("takes hosts, hosts with a port, and the word image; git hosts are on the list too", () => {
    const EGRESS_HOSTS = ["Mirror.example:8443", "files.example", "image"];
    expect(egressSettings({ ...config, EGRESS_HOSTS }, anyAddress)).toMatchObject({
      hosts: [
        { host: "git.example", port: 443 },
        { host: "mirror.example", port: 8443 },
        { host: "files.example", port: 443 },
      ],
      withImageHosts: true,
    });
  });

  it.each([
    { entry: "*.example", why: "a pattern: only exact hosts are judged" },
    { entry: "https://a.example", why: "a URL" },
    { entry: "10.0.0.1", why: "an address" },
    { entry: "a.example.", why: "a trailing dot" },
    { entry: "a.example:99999", why: "no port" },
  ])("$entry is refused at the start: $why", ({ entry }) => {
    expect(() => egressSettings({ ...config, EGRESS_HOSTS: [entry] }, anyAddress)).toThrow(/^EGRESS_HOSTS: "/);
  });
});

describe("a build sandbox's network", () => {
  const source: RepoSource = { kind: "https", url: "https://own.example:8443/a/b.git", resolve: "" };
  const hostsOf = (network: unknown) =>
    (network as { hosts: { host: string; port: number }[] }).hosts.map(({ host, port }) => `${host}:${port}`);

  it("is open where the operator says so, and then nobody asks the image", async () => {
    const egress = new Egress(egressSettings({ ...config, NETWORK_INSTALL: "open" }, anyAddress), silent);
    const { sandbox, asked } = sandboxSaying("https://registry.example/");
    const { network, complete } = egress.network(source);
    await complete(sandbox, "sha256:1", signal);
    expect(network).toBe("open");
    expect(asked).toEqual([]);
  });

  it("holds the task's git host and REPO_HOSTS at first, then what the image is set to: asked once an image", async () => {
    const egress = new Egress(egressSettings(config, anyAddress), silent);
    const { sandbox, asked } = sandboxSaying("https://registry.example/simple\nhttp://deb.example/dists\n");
    const first = egress.network(source);
    expect(hostsOf(first.network)).toEqual(["own.example:8443", "git.example:443"]);
    await first.complete(sandbox, "sha256:1", signal);
    const second = egress.network();
    await second.complete(sandbox, "sha256:1", signal);
    expect(hostsOf(second.network)).toEqual(["git.example:443", "registry.example:443", "deb.example:80"]);
    expect(asked).toHaveLength(1);
    await egress.network().complete(sandbox, "sha256:2", signal);
    expect(asked).toHaveLength(2);
  });

  it("stays as it is where the image can't be asked, and the next one asks again", async () => {
    const egress = new Egress(egressSettings(config, anyAddress), silent);
    const { sandbox, asked } = sandboxSaying("https://registry.example/", 1);
    const { network, complete } = egress.network();
    await complete(sandbox, "sha256:1", signal);
    await complete(sandbox, "sha256:1", signal);
    expect(hostsOf(network)).toEqual(["git.example:443"]);
    expect(asked).toHaveLength(2);
  });

  it("of one sandbox is not another's: hosts that are added stay with it", async () => {
    const egress = new Egress(egressSettings(config, anyAddress), silent);
    const one = egress.network(source);
    const other = egress.network();
    await one.complete(sandboxSaying("https://registry.example/").sandbox, "sha256:1", signal);
    expect(hostsOf(other.network)).toEqual(["git.example:443"]);
  });
});

describe("hosts in what package managers print", () => {
  it.each([
    { text: "https://a.example/simple https://b.example", hosts: ["a.example:443", "b.example:443"], why: "two" },
    { text: "https://a.example,direct", hosts: ["a.example:443"], why: "Go's list" },
    { text: "('global.index-url', 'https://a.example/simple')", hosts: ["a.example:443"], why: "pip's setting" },
    { text: "'http://a.example:8080/dists/x' a.example_dists 0", hosts: ["a.example:8080"], why: "apt's list" },
    { text: "https://a.example https://a.example/x", hosts: ["a.example:443"], why: "one of them twice" },
    { text: "https://user:secret@a.example/", hosts: [], why: "credentials: that host needs EGRESS_HOSTS" },
    { text: "file:///srv/mirror https://10.0.0.1/ undefined", hosts: [], why: "nothing that has a name" },
  ])("$why: $text", ({ text, hosts }) => {
    expect(hostsIn(text).map(({ host, port }) => `${host}:${port}`)).toEqual(hosts);
  });
});

describe("what was refused", () => {
  const count = (reason: ConnectionCount["reason"]): ConnectionCount => ({
    host: "a.example",
    port: 443,
    allowed: reason === null,
    reason,
    connections: 1,
    bytesUp: 0,
    bytesDown: 0,
  });

  it.each([
    { reason: "not_listed", isSite: false, why: "whoever asked for it" },
    { reason: "sni_mismatch", isSite: false, why: "whoever lied" },
    { reason: "unreachable", isSite: true, why: "a listed host that is down" },
    { reason: "unresolved", isSite: true, why: "a listed host that DNS doesn't know now" },
    { reason: "forbidden_address", isSite: true, why: "a listed host whose range is not allowed" },
    { reason: null, isSite: false, why: "nothing was refused" },
  ] as const)("$reason: $why; the site's fault: $isSite", ({ reason, isSite }) => {
    expect(isSiteFault([count(null), count(reason)])).toBe(isSite);
  });

  it("is told with the setting that allows it", () => {
    expect(describeRefused([count(null)])).toBe("");
    expect(describeRefused([count("not_listed")])).toMatch(/EGRESS_HOSTS.*a\.example:443 \(not_listed\)\.$/);
    expect(describeRefused([count("forbidden_address")])).toMatch(/EGRESS_ALLOW_CIDRS\.$/);
  });
});
