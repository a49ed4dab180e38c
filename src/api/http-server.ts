/**
 * The Node server around the app: its time and size limits, and the answers that are given before there is a request
 * (malformed heads, timeouts). Every answer is JSON, from the first byte that was wrong.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { limits } from "../kernel/limits.ts";
import { markBroken } from "./broken-body.ts";
import type { Api, ApiApp } from "./context.ts";
import { isSocketRequest } from "./progress/upgrade.ts";
import { hasUnreadBody } from "./unread-body.ts";

/** Makes the server; it does not listen yet. */
export function createHttpServer(app: ApiApp, api: Api): Server {
  const { bounds, deps } = api;
  const answering = new WeakMap<object, ServerResponse>();
  const serve = getRequestListener(app.fetch, {
    hostname: "localhost",
    overrideGlobalObjects: false,
    errorHandler: (error) => {
      const isMalformed = error instanceof Error && error.name === "RequestError";
      if (!isMalformed) deps.logger.error({ err: error }, "request failed outside the app");
      return Response.json(isMalformed ? malformedTarget : unforeseen, { status: isMalformed ? 400 : 500 });
    },
  });
  const listener = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    answering.set(incoming.socket, outgoing);
    const isRead = incoming.method === "GET" || incoming.method === "HEAD";
    // A read has no use for a body: its connection ends with the answer instead of swallowing one.
    if (isRead && hasUnreadBody(incoming)) outgoing.shouldKeepAlive = false;
    // Checked here and not by Node, whose own answer has no body.
    if (incoming.httpVersion === "1.1" && incoming.headers.host === undefined) return refuseHost(outgoing);
    void serve(incoming, outgoing);
  };
  const server = createServer(
    {
      headersTimeout: bounds.headersTimeoutMs,
      requestTimeout: Math.max(deps.config.UPLOAD_TIMEOUT_SECS * 1000 + bounds.requestSlackMs, bounds.headersTimeoutMs),
      connectionsCheckingInterval: bounds.connectionCheckMs,
      keepAliveTimeout: bounds.keepAliveMs,
      maxHeaderSize: limits.headerBytesMax,
      requireHostHeader: false,
      insecureHTTPParser: false,
      shouldUpgradeCallback: isSocketRequest,
    },
    listener,
  );
  server.maxConnections = bounds.connectionsMax;
  server.maxHeadersCount = bounds.headerCountMax;
  server.setTimeout(bounds.socketIdleMs);
  // Expect: the route says 100 once the caller is known; other expectations are ignored, as RFC 9110 § 10.1.1 allows.
  server.on("checkContinue", listener);
  server.on("checkExpectation", listener);
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => {
    refuseBroken(error, socket, answering.get(socket));
  });
  return server;
}

const malformedTarget = { error: "invalid_request", message: "The request target or the Host header is malformed" };
const unforeseen = {
  error: "internal",
  message: "The server could not answer this. Its operator finds the cause in the log.",
};

function refuseHost(outgoing: ServerResponse): void {
  outgoing.shouldKeepAlive = false;
  const body = JSON.stringify({ error: "invalid_request", message: "HTTP/1.1 requests need a Host header" });
  outgoing.writeHead(400, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
  outgoing.end(body);
}

/** What the parser refused, by its code; see llhttp. */
function refusalOf(code: string | undefined): { readonly status: number; readonly message: string } {
  switch (code) {
    case "HPE_HEADER_OVERFLOW":
      return { status: 431, message: `The request's headers are longer than ${limits.headerBytesMax} bytes` };
    case "HPE_CHUNK_EXTENSIONS_OVERFLOW":
      return { status: 413, message: "The body's chunk extensions are too long" };
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return { status: 408, message: "The request did not arrive in time" };
    default:
      return { status: 400, message: "The request is not well-formed HTTP/1.1" };
  }
}

/** Answers a request that never became one, unless an answer is under way already, or the app is about to give one. */
function refuseBroken(error: NodeJS.ErrnoException, socket: Socket, answer: ServerResponse | undefined): void {
  const isInBody = answer?.headersSent === false && !answer.req.complete && error.code?.startsWith("HPE_") === true;
  if (isInBody && socket.writable) {
    answer.shouldKeepAlive = false;
    markBroken(answer.req);
    return;
  }
  const isAnswering = answer?.headersSent === true && !answer.writableFinished;
  if (error.code === "ECONNRESET" || !socket.writable || isAnswering) {
    socket.destroy();
    return;
  }
  const { status, message } = refusalOf(error.code);
  const body = JSON.stringify({ error: "invalid_request", message });
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
  setTimeout(() => socket.destroy(), 500).unref();
}
