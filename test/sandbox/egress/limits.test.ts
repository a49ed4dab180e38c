/** What one sandbox may use of the proxy in its whole life (N03). */
import { describe, expect, it } from "vitest";
import { echo, hello, listenForTests, ok, proxyWith, web } from "./proxy-kit.ts";

listenForTests();

describe("limits", () => {
  it("N03: 5000 connections, and no more of them than the cap reach anybody", async () => {
    web.forget();
    web.answer = ok;
    const { client, told } = proxyWith({ limits: { connectionsMax: 40 } });
    const request = `GET http://registry.example:${web.port}/ HTTP/1.1\r\nconnection: close\r\n\r\n`;
    for (let done = 0; done < 5_000; done += 50) {
      await Promise.all(Array.from({ length: 50 }, () => client().say(request).closed()));
    }
    expect(web.connections).toBe(40);
    expect(told.filter(({ reason }) => reason === "too_many")).toHaveLength(4_960);
  });

  it("bytes of all connections together: the one that crosses the line is cut, the next is refused", async () => {
    const { client, told } = proxyWith({ limits: { bytesMax: 2 * hello.length + 1_000 } });
    const connect = `CONNECT registry.example:${echo.port} HTTP/1.1\r\n\r\n`;
    const one = client().say(connect);
    await one.until(/ 200 /);
    await one.say(hello).say(Buffer.alloc(5_000)).closed();
    expect(await client().say(connect).closed()).toContain("bytes_max");
    expect(told).toMatchObject([
      { allowed: true, reason: "bytes_max" },
      { allowed: false, reason: "bytes_max" },
    ]);
  });

  it("silence: a connection that says nothing for long is ended", async () => {
    const { client, told } = proxyWith({ limits: { idleMs: 30 } });
    const one = client().say(`CONNECT registry.example:${echo.port} HTTP/1.1\r\n\r\n`);
    await one.until(/ 200 /);
    await one.say(hello).closed();
    expect(told).toMatchObject([{ allowed: true, reason: "idle" }]);
  });

  it("closing ends what is open, and takes nothing new", async () => {
    const { proxy, client } = proxyWith();
    const one = client().say(`CONNECT registry.example:${echo.port} HTTP/1.1\r\n\r\n`);
    await one.until(/ 200 /);
    one.say(hello);
    await one.until(/registry/);
    proxy.close();
    await one.closed();
    await client().say("GET / HTTP/1.1\r\n\r\n").closed();
  });
});
