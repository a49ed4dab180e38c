/** The forward proxy, rule by rule (N02, N03): clients in memory, upstreams on the loopback, names from a table. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/kernel/clock.ts";
import { addressRule } from "../../../src/sandbox/egress/addresses.ts";
import type { Connection } from "../../../src/sandbox/egress/policy.ts";
import { type EgressLimits, EgressProxy, egressLimits } from "../../../src/sandbox/egress/proxy.ts";
import { helloOf } from "./hello.ts";

const hello = await helloOf("registry.example");
const otherHello = await helloOf("evil.example");
const namelessHello = await helloOf();

/** An upstream that keeps what it got and answers in its own way. */
class Upstream {
  readonly received: Buffer[] = [];
  connections = 0;
  readonly #server: Server;

  constructor(onBytes: (socket: Socket, bytes: Buffer) => void) {
    this.#server = createServer((socket) => {
      this.connections++;
      socket.on("error", () => {});
      socket.on("data", (bytes) => {
        this.received.push(bytes);
        onBytes(socket, bytes);
      });
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get text(): string {
    return Buffer.concat(this.received).toString("latin1");
  }

  forget(): void {
    this.received.length = 0;
    this.connections = 0;
  }

  async close(): Promise<void> {
    this.#server.close();
  }
}

const echo = new Upstream((socket, bytes) => void socket.write(bytes));
const web = new Upstream((socket) => void socket.end(answer));
let answer = "";
const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: x-own\r\nx-own: 1\r\nx-kept: 2\r\n\r\nhi";

beforeAll(async () => {
  await echo.listen();
  await web.listen();
});
afterAll(async () => {
  await echo.close();
  await web.close();
});

interface Setting {
  /** by host; a host that is not here can't be resolved */
  readonly names?: Readonly<Record<string, readonly string[]>>;
  readonly allowCidrs?: readonly string[];
  readonly limits?: Partial<EgressLimits>;
}

function proxyWith({ names = {}, allowCidrs = ["127.0.0.1/32"], limits = {} }: Setting = {}) {
  const told: Connection[] = [];
  const asked: string[] = [];
  const known: Readonly<Record<string, readonly string[]>> = { "registry.example": ["127.0.0.1"], ...names };
  const proxy = new EgressProxy({
    policy: {
      hosts: [echo.port, web.port].flatMap((port) =>
        ["registry.example", "private.example", "mixed.example", "nowhere.example", "metadata.example"].map((host) => ({
          host,
          port,
        })),
      ),
      isAddressAllowed: addressRule(allowCidrs),
      onConnection: (connection) => told.push(connection),
    },
    clock: systemClock,
    resolve: async (host) => {
      asked.push(host);
      const addresses = known[host];
      if (addresses === undefined) throw new Error("ENOTFOUND");
      return addresses;
    },
    limits: { ...egressLimits, ...limits },
  });
  const client = () => {
    const [ours, theirs] = duplexPair();
    ours.on("error", () => {});
    proxy.accept(theirs);
    return new Client(ours);
  };
  return { proxy, client, told, asked };
}

class Client {
  readonly stream: Duplex;
  text = "";

  constructor(stream: Duplex) {
    this.stream = stream;
    stream.on("data", (bytes: Buffer) => {
      this.text += bytes.toString("latin1");
    });
  }

  say(bytes: string | Buffer): this {
    this.stream.write(bytes);
    return this;
  }

  /** Waits until the proxy said something that fits, or closed. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text)) {
      if (this.stream.destroyed || this.stream.readableEnded)
        throw new Error(`closed after ${JSON.stringify(this.text)}`);
      await Promise.race([once(this.stream, "data"), once(this.stream, "end"), once(this.stream, "close")]);
    }
    return this.text;
  }

  async closed(): Promise<string> {
    if (!this.stream.destroyed && !this.stream.readableEnded) {
      await Promise.race([once(this.stream, "end"), once(this.stream, "close")]);
    }
    return this.text;
  }
}

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

describe("a plain request", () => {
  it("to a listed host is made anew: its own headers, the host of its URL, nothing of the connection", async () => {
    web.forget();
    answer = ok;
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
    answer = "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n";
    const { client, told } = proxyWith();
    const one = client().say(`GET http://registry.example:${web.port}/ HTTP/1.1\r\n\r\n`);
    const location = /location: (\S+)/.exec(await one.until(/location: \S+\r\n[\s\S]*\r\n\r\n/))?.[1];
    await one.say(`GET ${location} HTTP/1.1\r\n\r\n`).until(/ip_literal/);
    expect(told).toMatchObject([{ allowed: true }, { host: "169.254.169.254", allowed: false, reason: "ip_literal" }]);
  });

  it("with a body passes it on", async () => {
    web.forget();
    answer = ok;
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

describe("limits", () => {
  it("N03: 5000 connections, and no more of them than the cap reach anybody", async () => {
    web.forget();
    answer = ok;
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
