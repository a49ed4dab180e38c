/** CONNECT through the forward proxy, rule by rule (N02). */

import { duplexPair } from "node:stream";
import { describe, expect, it } from "vitest";
import { systemClock } from "../../../src/kernel/clock.ts";
import type { Connection } from "../../../src/sandbox/egress/policy.ts";
import { EgressProxy } from "../../../src/sandbox/egress/proxy.ts";
import { Client, echo, hello, listenForTests, namelessHello, otherHello, proxyWith, Upstream } from "./proxy-kit.ts";

listenForTests();

describe("CONNECT", () => {
  it("to a listed host passes everything on, both ways, once the hello named that host; the end is passed on too", async () => {
    echo.forget();
    const { client, told, asked } = proxyWith();
    const one = client().say(`CONNECT registry.example:${echo.port} HTTP/1.1\r\n\r\n`);
    await one.until(/200 Connection Established\r\n\r\n$/);
    expect(echo.text).toBe("");
    one.say(hello.subarray(0, 20)).say(hello.subarray(20)).say("more");
    await one.until(/more$/);
    expect(one.text.endsWith(`${hello.toString("latin1")}more`)).toBe(true);
    one.stream.end();
    await one.closed();
    const bytes = hello.length + 4;
    expect(told).toMatchObject([
      { host: "registry.example", port: echo.port, allowed: true, reason: null, bytesUp: bytes, bytesDown: bytes },
    ]);
    expect(asked).toEqual(["registry.example"]);
  });

  it("in another case is the same host", async () => {
    const { client, told } = proxyWith();
    const one = client().say(`CONNECT REGISTRY.Example:${echo.port} HTTP/1.1\r\n\r\n`);
    await one.until(/ 200 /);
    await one.say(hello).until(/registry/);
    expect(told).toMatchObject([{ host: "registry.example", allowed: true }]);
  });

  it("takes a hello that came together with the CONNECT", async () => {
    const { client } = proxyWith();
    const head = Buffer.from(`CONNECT registry.example:${echo.port} HTTP/1.1\r\n\r\n`);
    await client()
      .say(Buffer.concat([head, hello]))
      .until(/registry/);
  });

  const elsewhere = [
    { to: "sub.registry.example", reason: "not_listed", why: "a host below a listed one" },
    { to: "example", reason: "not_listed", why: "a host above it" },
    { to: "registry.example.evil.example", reason: "not_listed", why: "a host that begins like it" },
    { to: "evilregistry.example", reason: "not_listed", why: "a host that ends like it" },
    { to: "registry.example.", reason: "bad_request", why: "a trailing dot" },
    { to: "user:pw@registry.example", reason: "bad_request", why: "credentials before it" },
    { to: "127.0.0.1", reason: "ip_literal", why: "the address of a listed host" },
    { to: "169.254.169.254", reason: "ip_literal", why: "the metadata address" },
    { to: "2130706433", reason: "ip_literal", why: "an address as one number" },
    { to: "0x7f.1", reason: "ip_literal", why: "an address in hex" },
    { to: "[::1]", reason: "ip_literal", why: "an address of IPv6" },
    { to: "localhost", reason: "not_listed", why: "this machine" },
    { to: "private.example", reason: "forbidden_address", why: "a listed name of a private address" },
    { to: "metadata.example", reason: "forbidden_address", why: "a listed name of the metadata address" },
    { to: "mixed.example", reason: "forbidden_address", why: "one private answer among public ones" },
    { to: "nowhere.example", reason: "unresolved", why: "a listed name that has no address" },
  ];
  const names = {
    "private.example": ["10.0.0.7"],
    "metadata.example": ["169.254.169.254"],
    "mixed.example": ["127.0.0.1", "10.0.0.7"],
  };
  it.each(elsewhere)("to $why ($to) is refused as $reason, and told", async ({ to, reason }) => {
    echo.forget();
    const { client, told } = proxyWith({ names });
    const text = await client().say(`CONNECT ${to}:${echo.port} HTTP/1.1\r\n\r\n`).closed();
    expect(text).toMatch(new RegExp(`^HTTP/1.1 (400|403|502) ${reason}\r\n[\\s\\S]*${reason}\n$`));
    expect(told).toMatchObject([{ allowed: false, reason, bytesUp: 0, bytesDown: 0 }]);
    expect(echo.connections).toBe(0);
  });

  it("to another port of a listed host is refused", async () => {
    const { client, told } = proxyWith();
    await client().say("CONNECT registry.example:22 HTTP/1.1\r\n\r\n").closed();
    expect(told).toMatchObject([{ host: "registry.example", port: 22, reason: "not_listed" }]);
  });

  it("resolves a name once: an answer that changes between the check and the connection changes nothing", async () => {
    const answers = [["127.0.0.1"], ["10.0.0.7"]];
    const { client, asked } = proxyWith({
      names: {
        get "registry.example"() {
          return answers.shift() ?? [];
        },
      },
    });
    await client().say(`CONNECT registry.example:${echo.port} HTTP/1.1\r\n\r\n`).until(/ 200 /);
    expect(asked).toHaveLength(1);
  });

  it("a reserved address passes only where the operator allowed its range", async () => {
    const { client, told } = proxyWith({ allowCidrs: [] });
    await client().say(`CONNECT registry.example:${echo.port} HTTP/1.1\r\n\r\n`).closed();
    expect(told).toMatchObject([{ reason: "forbidden_address" }]);
  });

  it("where nobody listens says so", async () => {
    const dead = new Upstream(() => {});
    await dead.listen();
    const { port } = dead;
    await dead.close();
    const told: Connection[] = [];
    const proxy = new EgressProxy({
      policy: {
        hosts: [{ host: "registry.example", port }],
        isAddressAllowed: () => true,
        onConnection: (connection) => told.push(connection),
      },
      clock: systemClock,
      resolve: async () => ["127.0.0.1"],
    });
    const [ours, theirs] = duplexPair();
    proxy.accept(theirs);
    await new Client(ours).say(`CONNECT registry.example:${port} HTTP/1.1\r\n\r\n`).closed();
    expect(told).toMatchObject([{ reason: "unreachable" }]);
  });

  it.each([
    { why: "a hello for another host", bytes: otherHello, reason: "sni_mismatch" },
    { why: "a hello for nobody", bytes: namelessHello, reason: "sni_missing" },
    { why: "plain HTTP", bytes: Buffer.from("GET / HTTP/1.1\r\n\r\n"), reason: "not_tls" },
    { why: "ssh", bytes: Buffer.from("SSH-2.0-OpenSSH_9.2\r\n"), reason: "not_tls" },
  ])("followed by $why: cut as $reason, and the upstream never sees a byte", async ({ bytes, reason }) => {
    echo.forget();
    const { client, told } = proxyWith();
    const one = client().say(`CONNECT registry.example:${echo.port} HTTP/1.1\r\n\r\n`);
    await one.until(/ 200 /);
    await one.say(bytes).closed();
    expect(told).toMatchObject([{ allowed: false, reason, bytesUp: 0, bytesDown: 0 }]);
    expect(echo.text).toBe("");
  });

  it("followed by half a hello, or by nothing, is cut when its time is up", async () => {
    const { client, told } = proxyWith({ limits: { helloMs: 30 } });
    const one = client().say(`CONNECT registry.example:${echo.port} HTTP/1.1\r\n\r\n`);
    await one.until(/ 200 /);
    await one.say(hello.subarray(0, 50)).closed();
    expect(told).toMatchObject([{ allowed: false, reason: "not_tls" }]);
  });
});
