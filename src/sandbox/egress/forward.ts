/** A plain request, passed on: package indexes that are signed come this way. */
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Passage } from "./passage.ts";

export interface ForwardOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** of the URL, from its first slash; may be empty */
  readonly path: string;
  readonly upstream: Socket;
  readonly passage: Passage;
}

/** Headers that belong to one connection (RFC 9110 §7.6.1), and what must not leave the sandbox's side. */
const hopByHop = new Set([
  "connection",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Runs until the answer was passed on or either side broke; tells the passage then. */
export function forward({ request, response, path, upstream, passage }: ForwardOptions): void {
  const cut = () => {
    upstream.destroy();
    response.destroy();
  };
  passage.begin(cut);
  upstream.once("close", () => passage.end());
  response.once("close", () => upstream.destroy());
  upstream.on("error", () => {});
  if (response.destroyed) return void cut();
  passage.allow();

  const { remotePort } = upstream;
  const outgoing = httpRequest({
    createConnection: () => upstream,
    method: request.method,
    path: path.startsWith("/") ? path : `/${path}`,
    setHost: false,
    headers: [
      ...passedOn(request.rawHeaders),
      "host",
      remotePort === 80 ? passage.host : `${passage.host}:${remotePort}`,
      "connection",
      "close",
      ...(request.headers["transfer-encoding"] === undefined ? [] : ["transfer-encoding", "chunked"]),
    ],
    maxHeaderSize: 32 * 1024,
  });
  let bodyBytes = 0;
  outgoing.once("response", (incoming) => {
    passage.up(Math.max(0, upstream.bytesWritten - bodyBytes));
    incoming.on("data", (chunk: Buffer) => passage.down(chunk.length));
    incoming.once("error", cut);
    // an answer that breaks off must not look whole
    incoming.once("aborted", cut);
    response.writeHead(incoming.statusCode ?? 502, passedOn(incoming.rawHeaders));
    incoming.pipe(response);
  });
  outgoing.once("error", () => {
    if (!response.headersSent) response.writeHead(502, { connection: "close" }).end();
    else cut();
    upstream.destroy();
  });
  request.on("data", (chunk: Buffer) => {
    bodyBytes += chunk.length;
    passage.up(chunk.length);
  });
  request.pipe(outgoing);
}

/** Raw headers without those of the connection. */
function passedOn(raw: readonly string[]): string[] {
  const named = new Set<string>();
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() !== "connection") continue;
    for (const name of (raw[i + 1] ?? "").split(",")) named.add(name.trim().toLowerCase());
  }
  const kept: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const lower = name.toLowerCase();
    if (!hopByHop.has(lower) && !named.has(lower)) kept.push(name, raw[i + 1] ?? "");
  }
  return kept;
}
