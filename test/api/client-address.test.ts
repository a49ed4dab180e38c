/** Who a request comes from, behind proxies that are believed and others that are not. */
import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { clientAddressOf } from "../../src/api/client-address.ts";

describe("client address", () => {
  const rows = [
    {
      why: "no proxies: the header is ignored",
      proxies: [],
      peer: "10.0.0.1",
      forwarded: ["1.1.1.1"],
      expected: "10.0.0.1",
    },
    {
      why: "a stranger's header is ignored",
      proxies: ["10.0.0.9"],
      peer: "10.0.0.1",
      forwarded: ["1.1.1.1"],
      expected: "10.0.0.1",
    },
    {
      why: "the proxy's word counts",
      proxies: ["10.0.0.1"],
      peer: "10.0.0.1",
      forwarded: ["1.1.1.1"],
      expected: "1.1.1.1",
    },
    {
      why: "what the client wrote before it does not",
      proxies: ["10.0.0.1"],
      peer: "10.0.0.1",
      forwarded: ["9.9.9.9, 1.1.1.1"],
      expected: "1.1.1.1",
    },
    {
      why: "a chain of proxies, in two headers",
      proxies: ["10.0.0.0/8"],
      peer: "10.0.0.1",
      forwarded: ["9.9.9.9, 1.1.1.1", "10.2.3.4"],
      expected: "1.1.1.1",
    },
    {
      why: "IPv4 over IPv6",
      proxies: ["10.0.0.1"],
      peer: "::ffff:10.0.0.1",
      forwarded: ["2001:db8::1"],
      expected: "2001:db8::1",
    },
    {
      why: "garbage ends the chain",
      proxies: ["10.0.0.1"],
      peer: "10.0.0.1",
      forwarded: ["1.1.1.1, <script>"],
      expected: "10.0.0.1",
    },
    { why: "no header", proxies: ["10.0.0.1"], peer: "10.0.0.1", forwarded: undefined, expected: "10.0.0.1" },
  ];
  it.each(rows)("$why", ({ proxies, peer, forwarded, expected }) => {
    const headersDistinct = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
    const request = { socket: { remoteAddress: peer }, headersDistinct } as unknown as IncomingMessage;
    expect(clientAddressOf(proxies)(request)).toBe(expected);
  });

  it.each(["proxy.local", "10.0.0.0/33", "10.0.0.0/x", "::1/129", ""])(
    "TRUSTED_PROXIES=%s stops the start",
    (proxy) => {
      expect(() => clientAddressOf([proxy])).toThrow(/TRUSTED_PROXIES/);
    },
  );
});
