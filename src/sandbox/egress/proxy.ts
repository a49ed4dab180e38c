/**
 * The forward proxy of one sandbox.
 *
 * Theory of operation. Connections come one by one from the sandbox's relay, never from a network: there is no port that
 * anybody else could find, and which sandbox is speaking is known by the line it came on, so no credential can be stolen or
 * guessed. Node's own parser reads the requests. `CONNECT host:port` gives a tunnel, through which nothing goes before the
 * client's TLS hello named that very host; a plain `GET http://host/…` is passed on as a request of its own. Each is judged
 * anew: exact host and port, resolved once, every address checked, connected to the address that was checked. A redirect is
 * the client's next connection. Every decision is told to the policy's `onConnection`, once.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { dial, keeping, type Resolve } from "./dial.ts";
import { forward } from "./forward.ts";
import { Passage } from "./passage.ts";
import { type EgressPolicy, type EgressReason, type HostPort, isHostName, isListed, parseHostPort } from "./policy.ts";
import { tunnel } from "./tunnel.ts";

export interface EgressLimits {
  /** connections and plain requests of a sandbox in its whole life */
  readonly connectionsMax: number;
  /** bytes of all of them together, both ways */
  readonly bytesMax: number;
  /** silence after which one is ended, ms */
  readonly idleMs: number;
  /** for the client's TLS hello, ms */
  readonly helloMs: number;
}

export const egressLimits: EgressLimits = {
  connectionsMax: 4_000,
  bytesMax: 16 * 1024 ** 3,
  idleMs: 120_000,
  helloMs: 10_000,
};

export interface ProxyOptions {
  readonly policy: EgressPolicy;
  readonly clock: Clock;
  readonly resolve: Resolve;
  readonly limits?: EgressLimits;
}

const HEADER_BYTES_MAX = 16 * 1024;
/** How long the answer for a name is used, ms. */
const RESOLVED_MS = 60_000;
/** How long a client that was refused may keep its connection, ms. */
const REFUSED_MS = 2_000;
const SHOWN_HOST_CHARS_MAX = 100;

export class EgressProxy {
  readonly #options: ProxyOptions;
  readonly #limits: EgressLimits;
  readonly #server: Server;
  readonly #closed = new AbortController();
  readonly #clients = new Set<Duplex>();
  /** asked for listed hosts only, so what it keeps is bounded by the list */
  readonly #resolve: Resolve;
  #connectionCount = 0;
  #bytesLeft: number;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#limits = options.limits ?? egressLimits;
    this.#bytesLeft = this.#limits.bytesMax;
    this.#resolve = keeping(options.resolve, options.clock, RESOLVED_MS);
    this.#server = createServer({ maxHeaderSize: HEADER_BYTES_MAX, requireHostHeader: false, keepAliveTimeout: 0 });
    this.#server.on("connect", (request: IncomingMessage, client: Duplex, head: Buffer) => {
      void this.#connect(request, client, head);
    });
    this.#server.on("request", (request, response) => void this.#request(request, response));
    this.#server.on("clientError", (_error, client: Duplex) => {
      this.#tell("", 0, "bad_request");
      this.#refuseTunnel(client, "bad_request");
    });
  }

  /** Takes a connection of the sandbox. */
  accept(client: Duplex): void {
    if (this.#closed.signal.aborted) return void client.destroy();
    this.#clients.add(client);
    client.on("error", () => {});
    // a client that sends its requests ahead has a listener for each of them
    client.setMaxListeners(0);
    client.once("close", () => this.#clients.delete(client));
    this.#server.emit("connection", client);
  }

  /** Ends every connection. */
  close(): void {
    this.#closed.abort(new Error("the sandbox was closed"));
    for (const client of this.#clients) client.destroy();
  }

  async #connect(request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    client.on("error", () => {});
    const judged = await this.#judge(request.url ?? "", parseHostPort(request.url ?? ""), client);
    if (judged.kind === "refused") return this.#refuseTunnel(client, judged.reason);
    client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    const { clock } = this.#options;
    tunnel({ client, head, upstream: judged.socket, passage: judged.passage, clock, helloMs: this.#limits.helloMs });
  }

  async #request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.on("error", () => {});
    response.on("error", () => {});
    const match = /^http:\/\/([^/?#]*)(.*)$/i.exec(request.url ?? "");
    const [, authority = "", path = ""] = match ?? [];
    const target = match === null ? undefined : parseHostPort(authority, 80);
    const judged = await this.#judge(authority, target, request.socket);
    if (judged.kind === "refused") {
      // what the client still sends is not read
      response.writeHead(statusOf(judged.reason), { "content-type": "text/plain", connection: "close" });
      return void response.end(refusalText(judged.reason));
    }
    forward({ request, response, path, upstream: judged.socket, passage: judged.passage });
  }

  async #judge(shown: string, target: HostPort | undefined, client: Duplex) {
    const refuse = (reason: EgressReason) => {
      this.#tell(target?.host ?? shown, target?.port ?? 0, reason);
      return { kind: "refused", reason } as const;
    };
    this.#connectionCount++;
    if (this.#connectionCount > this.#limits.connectionsMax) return refuse("too_many");
    if (this.#bytesLeft <= 0) return refuse("bytes_max");
    if (target === undefined) return refuse(looksLikeAddress(shown) ? "ip_literal" : "bad_request");
    const { policy, clock } = this.#options;
    if (!isListed(policy, target)) return refuse("not_listed");
    const gone = new AbortController();
    const onGone = () => gone.abort(new Error("the client went away"));
    client.once("close", onGone);
    const signal = AbortSignal.any([gone.signal, this.#closed.signal]);
    try {
      const { isAddressAllowed } = policy;
      const dialled = await dial(target, { resolve: this.#resolve, isAddressAllowed, clock, signal });
      if (dialled.kind === "refused") return refuse(dialled.reason);
      const passage = new Passage({
        clock,
        idleMs: this.#limits.idleMs,
        signal: this.#closed.signal,
        spend: (bytes) => {
          this.#bytesLeft -= bytes;
          return this.#bytesLeft >= 0;
        },
        target,
      });
      policy.onConnection(passage);
      return { kind: "connected", socket: dialled.socket, passage } as const;
    } catch {
      return refuse("unreachable");
    } finally {
      client.off("close", onGone);
    }
  }

  /** The answer is read before the connection goes: to cut it at once would take the answer along. */
  #refuseTunnel(client: Duplex, reason: EgressReason): void {
    if (client.destroyed || !client.writable) return;
    const body = refusalText(reason);
    const head = `HTTP/1.1 ${statusOf(reason)} ${reason}\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
    client.resume();
    client.end(head + body);
    const over = new AbortController();
    client.once("close", () => over.abort());
    this.#options.clock.sleep(REFUSED_MS, over.signal).then(
      () => client.destroy(),
      () => {},
    );
  }

  #tell(host: string, port: number, reason: EgressReason): void {
    // what stands before an @ may be a secret of the client
    const shown = host
      .replace(/^.*@/s, "")
      .slice(0, SHOWN_HOST_CHARS_MAX)
      .replace(/[^!-~]/g, "?");
    this.#options.policy.onConnection({ host: shown, port, allowed: false, reason, bytesUp: 0, bytesDown: 0 });
  }
}

/** Whatever a resolver might take for an address: then the host was none of the list's. */
function looksLikeAddress(authority: string): boolean {
  const host = authority.replace(/:\d*$/, "").toLowerCase();
  return !isHostName(host) && /^\[?[0-9a-fx:.]+\]?$/.test(host) && /[\d:]/.test(host);
}

function statusOf(reason: EgressReason): number {
  if (reason === "bad_request") return 400;
  return reason === "unresolved" || reason === "unreachable" ? 502 : 403;
}

function refusalText(reason: EgressReason): string {
  return `proctor: this sandbox may not connect there: ${reason}\n`;
}
