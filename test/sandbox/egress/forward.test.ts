/** Plain requests through the forward proxy, and what is none. */
import { describe, expect, it } from "vitest";
import { listenForTests, ok, proxyWith, web } from "./proxy-kit.ts";

listenForTests();

describe("a plain request", () => {
  it("to a listed host is made anew: its own headers, the host of its URL, nothing of the connection", async () => {
    web.forget();
    web.answer = ok;
    const { client, told } = proxyWith();
    const lie =
      "host: evil.example\r\nproxy-authorization: Basic eA==\r\nconnection: close, x-hop\r\nx-hop: 1\r\nx-mine: 2\r\n";
    const text = await client().say(`GET http://registry.example:${web.port}/a?b HTTP/1.1\r\n${lie}\r\n`).closed();
    expect(web.text).toMatch(/^GET \/a\?b HTTP\/1\.1\r\n/);
    expect(web.text).toContain(`host: registry.example:${web.port}\r\n`);
    expect(web.text).toContain("x-mine: 2");
    expect(web.text).not.toMatch(/evil|proxy-|x-hop/);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*hi$/);
    expect(text).toContain("x-kept: 2");
    expect(text).not.toContain("x-own");
    expect(told).toMatchObject([
      { host: "registry.example", port: web.port, allowed: true, reason: null, bytesDown: 2 },
    ]);
    expect(told[0]?.bytesUp).toBe(web.text.length);
  });

  it("whose answer redirects elsewhere: the client's next request is judged anew", async () => {
    web.answer = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n";
    const { client, told } = proxyWith();
    const one = client().say(`GET http://registry.example:${web.port}/ HTTP/1.1\r\n\r\n`);
    const location = /location: (\S+)/.exec(await one.until(/location: \S+\r\n[\s\S]*\r\n\r\n/))?.[1];
    await one.say(`GET ${location} HTTP/1.1\r\n\r\n`).until(/ip_literal/);
    expect(told).toMatchObject([{ allowed: true }, { host: "169.254.169.254", allowed: false, reason: "ip_literal" }]);
  });

  it("with a body passes it on", async () => {
    web.forget();
    web.answer = ok;
    const { client } = proxyWith();
    await client()
      .say(`POST http://registry.example:${web.port}/ HTTP/1.1\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody`)
      .closed();
    expect(web.text).toMatch(/content-length: 4\r\n[\s\S]*\r\n\r\nbody$/);
  });

  it.each([
    { target: "http://evil.example/", reason: "not_listed", why: "another host" },
    { target: "http://registry.example/", reason: "not_listed", why: "port 80, which is not listed" },
    { target: "http://registry.example.:PORT/", reason: "bad_request", why: "a trailing dot" },
    { target: "http://u:p@registry.example:PORT/", reason: "bad_request", why: "credentials" },
    { target: "http://127.0.0.1:PORT/", reason: "ip_literal", why: "an address" },
    { target: "http://[::1]:PORT/", reason: "ip_literal", why: "an address of IPv6" },
    { target: "https://registry.example:PORT/", reason: "bad_request", why: "a scheme that needs a tunnel" },
    { target: "ftp://registry.example:PORT/", reason: "bad_request", why: "another scheme" },
    { target: "/", reason: "bad_request", why: "no URL: the proxy is no server" },
    { target: "http:///", reason: "bad_request", why: "no host" },
  ])("to $why is refused as $reason", async ({ target, reason }) => {
    web.forget();
    const { client, told } = proxyWith();
    const text = await client()
      .say(`GET ${target.replace("PORT", `${web.port}`)} HTTP/1.1\r\nhost: registry.example:${web.port}\r\n\r\n`)
      .closed();
    expect(text).toContain(reason);
    expect(told).toMatchObject([{ allowed: false, reason }]);
    expect(web.connections).toBe(0);
  });

  it.each([
    { bytes: "nonsense\r\n\r\n", why: "no HTTP" },
    { bytes: `GET http://registry.example/ HTTP/1.1\r\nx: ${"y".repeat(20_000)}\r\n\r\n`, why: "endless headers" },
    {
      bytes: "POST http://registry.example/ HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
      why: "two lengths, as in request smuggling",
    },
  ])("$why is a bad request, and told", async ({ bytes }) => {
    const { client, told } = proxyWith();
    await client().say(bytes).closed();
    expect(told.at(-1)).toMatchObject({ allowed: false, reason: "bad_request" });
  });
});
