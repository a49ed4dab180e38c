import { describe, expect, it } from "vitest";
import { Ledger, ledgerLinesMax, otherHosts } from "../../../src/sandbox/egress/ledger.ts";
import { type Connection, parseHostPort } from "../../../src/sandbox/egress/policy.ts";

describe("host and port, as a client writes them", () => {
  it.each([
    { text: "registry.example:443", is: { host: "registry.example", port: 443 }, why: "plain" },
    { text: "Registry.EXAMPLE:443", is: { host: "registry.example", port: 443 }, why: "DNS knows no case" },
    { text: "registry.example", is: { host: "registry.example", port: 80 }, why: "the port of the scheme" },
    { text: "mirror:8443", is: { host: "mirror", port: 8443 }, why: "a name of the site's own" },
    { text: "a_b.example:1", is: { host: "a_b.example", port: 1 }, why: "an underscore, as some sites have" },
    { text: "registry.example.:443", is: undefined, why: "a trailing dot: another spelling that a list may not know" },
    { text: "registry.example:0", is: undefined, why: "no port" },
    { text: "registry.example:65536", is: undefined, why: "no port" },
    { text: "registry.example:", is: undefined, why: "half a port" },
    { text: "registry.example:+443", is: undefined, why: "a number that isn't written as one" },
    { text: "registry.example:443:443", is: undefined, why: "two ports" },
    { text: "user@registry.example:443", is: undefined, why: "credentials" },
    { text: "registry.example#.evil.example:443", is: undefined, why: "what another parser may cut" },
    { text: "registry.example\\.evil.example:443", is: undefined, why: "what another parser may cut" },
    { text: "registry..example:443", is: undefined, why: "an empty label" },
    { text: "-registry.example:443", is: undefined, why: "what a program may take for an option" },
    { text: "rеgistry.example:443", is: undefined, why: "a letter of another alphabet" },
    { text: "%72egistry.example:443", is: undefined, why: "an escape" },
    { text: `${"a".repeat(64)}.example:443`, is: undefined, why: "a label that is too long" },
    { text: `${"a.".repeat(140)}example:443`, is: undefined, why: "a name that is too long" },
    { text: "127.0.0.1:443", is: undefined, why: "an address" },
    { text: "127.1:443", is: undefined, why: "an address, to a resolver" },
    { text: "2130706433:443", is: undefined, why: "an address as one number" },
    { text: "0x7f000001:443", is: undefined, why: "an address in hex" },
    { text: "0177.0.0.0x1:443", is: undefined, why: "an address in two bases" },
    { text: "[::1]:443", is: undefined, why: "an address of IPv6" },
    { text: "::1", is: undefined, why: "an address of IPv6" },
    { text: "[::ffff:10.0.0.1]:443", is: undefined, why: "an address in an address" },
    { text: "", is: undefined, why: "nothing" },
  ])("$text: $why", ({ text, is }) => {
    expect(parseHostPort(text, 80)).toEqual(is);
  });

  it("without a port and without one that is known: nothing", () => {
    expect(parseHostPort("registry.example")).toBeUndefined();
  });
});

describe("the ledger", () => {
  const one = (change: Partial<Connection>): Connection => ({
    host: "a.example",
    port: 443,
    allowed: false,
    reason: "not_listed",
    bytesUp: 0,
    bytesDown: 0,
    ...change,
  });

  it("counts alike connections in one line, others in lines of their own", () => {
    const ledger = new Ledger();
    ledger.add(one({}));
    ledger.add(one({}));
    ledger.add(one({ port: 80 }));
    ledger.add(one({ allowed: true, reason: null, bytesUp: 3, bytesDown: 4 }));
    expect(ledger.take()).toEqual([
      { host: "a.example", port: 443, allowed: false, reason: "not_listed", connections: 2, bytesUp: 0, bytesDown: 0 },
      { host: "a.example", port: 80, allowed: false, reason: "not_listed", connections: 1, bytesUp: 0, bytesDown: 0 },
      { host: "a.example", port: 443, allowed: true, reason: null, connections: 1, bytesUp: 3, bytesDown: 4 },
    ]);
    expect(ledger.take()).toEqual([]);
  });

  it("reads one that goes on when it is asked, not when it was told", () => {
    const ledger = new Ledger();
    const live = { ...one({ allowed: false, reason: null }) };
    ledger.add(live);
    Object.assign(live, { reason: "sni_mismatch" });
    expect(ledger.take()).toMatchObject([{ reason: "sni_mismatch", connections: 1 }]);
  });

  it("stays bounded whatever is tried, and loses no count", () => {
    const ledger = new Ledger();
    for (let i = 0; i < 5_000; i++) ledger.add(one({ host: `h${i}.example` }));
    const lines = ledger.take();
    expect(lines).toHaveLength(ledgerLinesMax + 1);
    expect(lines.at(-1)).toMatchObject({ host: otherHosts, connections: 5_000 - ledgerLinesMax });
    expect(lines.reduce((sum, line) => sum + line.connections, 0)).toBe(5_000);
  });
});
