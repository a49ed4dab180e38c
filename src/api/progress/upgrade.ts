/**
 * `GET /ws?batch_id=`: the WebSocket handshake and what follows it. The upgrade is answered here and not by the adapter's
 * helper, because refusals need the error body that every other answer has.
 */
import { type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { type ServerOptions, type WebSocket, WebSocketServer } from "ws";
import { AppError, type ErrorCode } from "../../kernel/errors.ts";
import { parseBatchId } from "../../kernel/ids.ts";
import type { Api } from "../context.ts";
import { WriteEnded } from "../paced-writer.ts";
import type { Reader } from "../read-auth.ts";
import { requestId } from "../request-id.ts";
import { errorAnswer } from "../wire/error.ts";
import { parseSince } from "../wire/query.ts";
import type { Progress } from "./follow.ts";
import type { Slot } from "./slots.ts";
import { closeCodes, closeSoon, guardSocket, sendText } from "./socket.ts";

export const SOCKET_PATH = "/ws";

export interface SocketDoor {
  /** Ends what is still open, at once. */
  terminateAll(): void;
}

/** Whether a request may become a WebSocket; every other one stays an ordinary request, whatever its Upgrade header says. */
export function isSocketRequest(request: IncomingMessage): boolean {
  const isWebSocket = request.headers.upgrade?.toLowerCase() === "websocket";
  return isWebSocket && request.method === "GET" && targetOf(request)?.pathname === SOCKET_PATH;
}

/** Takes the upgrades of `server`. */
export function attachSockets(server: Server, api: Api): SocketDoor {
  const options: ServerOptions & { maxPendingAutoPongs: number } = {
    noServer: true,
    maxPayload: api.bounds.socketMessageBytesMax,
    perMessageDeflate: false,
    maxFragments: 16,
    maxPendingAutoPongs: 8,
  };
  const sockets = new WebSocketServer(options);
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on("error", () => socket.destroy());
    let slot: Slot | undefined;
    try {
      const target = targetOf(request);
      if (target === undefined || !isSocketRequest(request)) {
        throw new AppError("not_found", "There is no WebSocket at this address; GET /ws?batch_id= is one");
      }
      const query = target.searchParams;
      const address = api.clientAddress(request);
      const reader = api.readAuth({
        authorization: request.headers.authorization,
        queryToken: query.get("token") ?? undefined,
        address,
      });
      const taken = api.slots.take("ws", address);
      slot = taken;
      socket.once("close", () => taken[Symbol.dispose]());
      sockets.handleUpgrade(request, socket, head, (client) => void serve(api, client, taken, reader, query));
    } catch (error) {
      slot?.[Symbol.dispose]();
      refuseUpgrade(api, socket, error);
    }
  });
  return {
    terminateAll() {
      for (const client of sockets.clients) client.terminate();
      sockets.close();
    },
  };
}

/** One follower from its first message to its last. Never throws. */
async function serve(api: Api, client: WebSocket, slot: Slot, reader: Reader, query: URLSearchParams): Promise<void> {
  const { stallMs } = api.bounds;
  const startedMs = api.deps.clock.monotonicMs();
  const stopGuard = guardSocket(client, api.bounds);
  client.once("close", slot.end);
  let count = 0;
  let end = "closed";
  try {
    const progress = await openProgress(api, slot, reader, query);
    if ("error" in progress) {
      end = progress.error;
      await sendText(client, JSON.stringify(progress), stallMs);
      closeSoon(client, progress.error === "batch_not_found" ? closeCodes.notFound : closeCodes.policy, end);
      return;
    }
    for await (const event of progress.events()) {
      await sendText(client, JSON.stringify(event), stallMs);
      count += 1;
    }
    const isClosing = api.closing.aborted;
    closeSoon(
      client,
      isClosing ? closeCodes.goingAway : closeCodes.normal,
      isClosing ? "server closing" : "batch ended",
    );
  } catch (error) {
    end = error instanceof WriteEnded ? error.reason : "failed";
    if (end === "stalled") api.deps.meters.followerDropped("ws");
    if (end === "failed") api.deps.logger.error({ route: SOCKET_PATH, err: error }, "follower failed");
    closeSoon(client, closeCodes.failed, "resume with since");
  } finally {
    stopGuard();
    slot[Symbol.dispose]();
    const ms = Math.round(api.deps.clock.monotonicMs() - startedMs);
    api.deps.logger.info({ route: SOCKET_PATH, events: count, end, ms }, "follower");
  }
}

/** The stream, or the error body that the client is told as a message. */
async function openProgress(
  api: Api,
  slot: Slot,
  reader: Reader,
  query: URLSearchParams,
): Promise<Progress | { readonly error: ErrorCode }> {
  try {
    const asked = query.getAll("batch_id");
    const text = asked[0] ?? "";
    if (asked.length !== 1) throw new AppError("invalid_request", "batch_id must be given once: /ws?batch_id=<id>");
    const since = parseSince(query.getAll("since"), undefined);
    const batchId = parseBatchId(text.toLowerCase());
    if (batchId === undefined) throw unknownBatch(text);
    const progress = await api.follow({ batchId, since, outputs: reader.outputs, signal: slot.signal });
    if (progress === undefined) throw unknownBatch(text);
    return progress;
  } catch (error) {
    const answer = answerOf(api, error);
    if (answer.status >= 500) api.deps.logger.error({ route: SOCKET_PATH, err: error }, "follower failed");
    return answer.body;
  }
}

/** `batch_not_found`, with the id where it is harmless to repeat. */
export function unknownBatch(text: string): AppError {
  return new AppError("batch_not_found", "No batch has this id. GET /batches lists those that are kept.", {
    details: /^[A-Za-z0-9._-]{1,64}$/.test(text) ? { batch_id: text } : {},
  });
}

function refuseUpgrade(api: Api, socket: Duplex, error: unknown): void {
  const answer = answerOf(api, error);
  const body = JSON.stringify(answer.body);
  const headers = { ...answer.headers, "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
  const lines = Object.entries({ ...headers, Connection: "close" }).map(([name, value]) => `${name}: ${value}`);
  socket.end(`HTTP/1.1 ${answer.status} ${STATUS_CODES[answer.status] ?? ""}\r\n${lines.join("\r\n")}\r\n\r\n${body}`);
  setTimeout(() => socket.destroy(), api.bounds.lingerMs).unref();
}

function answerOf(api: Api, error: unknown) {
  return errorAnswer(error, { archiveBytesMax: api.deps.config.MAX_ARCHIVE_BYTES, requestId: requestId() });
}

function targetOf(request: IncomingMessage): URL | undefined {
  return URL.parse(request.url ?? "/", "http://server") ?? undefined;
}
