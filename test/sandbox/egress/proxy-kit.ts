/** The forward proxy in a test: clients in memory, upstreams on the loopback, names from a table. */
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { afterAll, beforeAll } from "vitest";
import { systemClock } from "../../../src/kernel/clock.ts";
import { addressRule } from "../../../src/sandbox/egress/addresses.ts";
import type { Connection } from "../../../src/sandbox/egress/policy.ts";
import { type EgressLimits, EgressProxy, egressLimits } from "../../../src/sandbox/egress/proxy.ts";
import { helloOf } from "./hello.ts";

export const hello = await helloOf("registry.example");
export const otherHello = await helloOf("evil.example");
export const namelessHello = await helloOf();

/** An upstream that keeps what it got and answers in its own way. */
export class Upstream {
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

export const echo = new Upstream((socket, bytes) => void socket.write(bytes));
/** Answers with `web.answer` and ends. */
export const web = new (class extends Upstream {
  answer = "";
})((socket) => void socket.end(web.answer));
export const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: x-own\r\nx-own: 1\r\nx-kept: 2\r\n\r\nhi";

interface Setting {
  /** by host; a host that is not here can't be resolved */
  readonly names?: Readonly<Record<string, readonly string[]>>;
  readonly allowCidrs?: readonly string[];
  readonly limits?: Partial<EgressLimits>;
}

export function proxyWith({ names = {}, allowCidrs = ["127.0.0.1/32"], limits = {} }: Setting = {}) {
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

export class Client {
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

/** For the whole of a test file. */
export function listenForTests(): void {
  beforeAll(async () => {
    await echo.listen();
    await web.listen();
  });
  afterAll(async () => {
    await echo.close();
    await web.close();
  });
}
