/** The allow-list on the real engine: what is listed works, and nothing else is there to be reached. */
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostsIn } from "../../../src/evaluation/egress.ts";
import { addressRule } from "../../../src/sandbox/egress/addresses.ts";
import { type ConnectionCount, Ledger } from "../../../src/sandbox/egress/ledger.ts";
import type { HostPort } from "../../../src/sandbox/egress/policy.ts";
import type { Sandbox } from "../../../src/sandbox/port.ts";
import { bash, type ContractSubject, megabyte, specOf } from "../contract.ts";
import { makeSubject, whyNoEngine } from "../engine.ts";

const missing = await whyNoEngine();
if (missing !== undefined) it.skip(missing, () => {});

const systemBundle = "/etc/ssl/certs/ca-certificates.crt";
const resources = { memoryBytes: 512 * megabyte, cpus: 2, pidsMax: 256, diskBytes: 2048 * megabyte };
/** Sites whose mirrors have addresses of the documentation's range, as continuous integration behind a mirror does. */
const isAddressAllowed = addressRule(["203.0.113.0/24"]);
const trust = Object.fromEntries(
  ["PIP_CERT", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "SSL_CERT_FILE"].map((name) => [name, "/run/ca.crt"]),
);

/** 400 connections, 100 of them at once; prints how many of each hundred were answered. Then the relay is killed. */
const storm = `python3 - <<'PY'
import socket
kept = []
for i in range(400):
    s = socket.create_connection(("127.0.0.1", 3128), timeout=20)
    s.sendall(b"GET http://h%d.example/ HTTP/1.1\\r\\nconnection: close\\r\\n\\r\\n" % i)
    kept.append(s)
    if len(kept) == 100:
        print(sum(b"not_listed" in k.makefile("rb").read() for k in kept), flush=True)
        for k in kept: k.close()
        kept = []
PY
pkill -9 relay; curl -s -m 5 http://elsewhere.example/; echo $?`;

describe.runIf(missing === undefined)("a build sandbox with an allow-list", () => {
  let subject: ContractSubject;
  const env = { ...bash("").env, PATH: "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...trust };
  const root = (script: string, change = {}) => bash(script, { user: "root", cwd: "/root", env, ...change });

  async function open(hosts: readonly HostPort[]) {
    const ledger = new Ledger();
    const network = { hosts, isAddressAllowed, onConnection: ledger.add.bind(ledger) };
    const spec = specOf(subject.instance, subject.image, { profile: "build", resources, network });
    const sandbox: Sandbox = await subject.host.open(spec);
    if (existsSync(systemBundle)) await sandbox.run(root("cat > /run/ca.crt"), { stdin: readFileSync(systemBundle) });
    const counts = (): readonly ConnectionCount[] => ledger.take();
    return { sandbox, counts };
  }
  const hostsOf = async (command: string) => {
    const spec = specOf(subject.instance, subject.image, { profile: "build", resources });
    await using sandbox = await subject.host.open(spec);
    return hostsIn((await sandbox.run(root(command))).output.text);
  };

  beforeAll(async () => {
    subject = await makeSubject();
  });
  afterAll(async () => {
    await subject?.dispose();
  });

  it.each([
    {
      tool: "pip",
      ask: "python3 -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url, \"https://\" + PyPI.file_storage_domain)'",
      install: "pip install -q --no-cache-dir --root-user-action=ignore six && python3 -c 'import six; print(six.PY3)'",
      says: "True\n",
    },
    {
      tool: "npm",
      ask: "npm config get registry",
      install: "npm install --silent --no-audit --no-fund is-number && node -p \"require('is-number')(5)\"",
      says: "true\n",
    },
    {
      tool: "apt",
      ask: "apt-get update --print-uris",
      install:
        "export DEBIAN_FRONTEND=noninteractive; { apt-get update && apt-get install -y --no-install-recommends hello; } > /dev/null 2>&1; hello",
      says: "Hello, world!\n",
    },
  ])("installs by $tool from what the image is set to, and counts the connections", async ({ ask, install, says }) => {
    const hosts = await hostsOf(ask);
    expect(hosts.length).toBeGreaterThan(0);
    const { sandbox, counts } = await open(hosts);
    await using _ = sandbox;
    const result = await sandbox.run(root(install, { timeoutMs: 120_000 }));
    expect(result.output.text).toBe(says);
    const lines = counts();
    expect(lines.filter(({ allowed, reason }) => !allowed || reason !== null)).toEqual([]);
    expect(lines.reduce((sum, { bytesDown }) => sum + bytesDown, 0)).toBeGreaterThan(1_000);
    expect(lines.every(({ host }) => hosts.some((entry) => entry.host === host))).toBe(true);
  });

  it("refuses every other host with a word that programs show, and counts it", async () => {
    const { sandbox, counts } = await open([]);
    await using _ = sandbox;
    const seen = await sandbox.run(root("curl -sS https://elsewhere.example/; curl -s http://elsewhere.example/"));
    expect(seen.output.text).toMatch(/not_listed/);
    expect(seen.output.text).toMatch(/curl: \(56\) .*403/);
    expect(counts()).toMatchObject([
      { host: "elsewhere.example", port: 443, allowed: false, reason: "not_listed", connections: 1 },
      { host: "elsewhere.example", port: 80, allowed: false, reason: "not_listed", connections: 1 },
    ]);
  });

  it("has no way to this machine's services, to the metadata address, or to anything past the proxy", async () => {
    let reached = 0;
    const server = createServer((socket) => {
      reached++;
      socket.end("reached");
    });
    server.listen(0, "0.0.0.0");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
    const addresses = own.filter(({ family }) => family === "IPv4").map(({ address }) => address);
    const { sandbox, counts } = await open([]);
    await using _ = sandbox;
    const targets = [...addresses, "172.17.0.1", "host.docker.internal"].map((address) => `${address}:${port}`);
    const tries = [...targets, "169.254.169.254:80"].flatMap((at) => [
      `curl -s -m 5 --noproxy '*' http://${at}/ && echo REACHED directly ${at}`,
      `curl -s -m 5 http://${at}/ -o /tmp/said --noproxy '' && ! grep -q 'may not connect' /tmp/said && echo REACHED ${at}`,
      `curl -s -m 5 -p --noproxy '' http://${at}/ && echo REACHED through a tunnel ${at}`,
    ]);
    const links = "ls /sys/class/net; tail -n +2 /proc/net/route";
    const seen = await sandbox.run(root([...tries, links].join("\n"), { timeoutMs: 60_000 }));
    expect(seen.output.text).toBe("lo\n");
    expect(reached).toBe(0);
    const lines = counts();
    expect(lines.every(({ allowed, reason }) => !allowed && (reason === "ip_literal" || reason === "not_listed"))).toBe(
      true,
    );
    expect(lines.some(({ host }) => host.startsWith("169.254.169.254"))).toBe(true);
    server.close();
  });

  it("ends what a command left behind when its time is up or it floods, and has its way out again after", async () => {
    const { sandbox, counts } = await open([]);
    await using _ = sandbox;
    const leave = "(setsid sleep 600 &) ; (setsid sleep 600 &) ;";
    const late = await sandbox.run(root(`${leave} sleep 600`, { timeoutMs: 500 }));
    expect(late.outcome).toEqual({ kind: "timedOut", limitMs: 500 });
    const flood = await sandbox.run(root(`${leave} yes`, { floodBytesMax: megabyte }));
    expect(flood.outcome).toMatchObject({ kind: "flooded" });
    const after = await sandbox.run(root("pgrep -c sleep; curl -s http://elsewhere.example/"));
    expect(after.output.text).toMatch(/^0\n.*not_listed/);
    expect(counts()).toHaveLength(1);
  });

  it("N03: many connections at once, and a relay that root kills, harm nobody but the command", async () => {
    const { sandbox, counts } = await open([]);
    await using _ = sandbox;
    const seen = await sandbox.run(root(storm, { timeoutMs: 60_000 }));
    expect(seen.output.text).toMatch(/^100\n100\n100\n100\n(7|52|56)\n$/);
    expect((await sandbox.run(root("curl -s http://elsewhere.example/"))).output.text).toContain("not_listed");
    expect(counts().reduce((sum, { connections }) => sum + connections, 0)).toBe(401);
  });
});
