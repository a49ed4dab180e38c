/**
 * Answering before a body was read. Closing a socket that still receives resets it, and the reset can overtake the answer;
 * reading on for ever would let a refused caller use the server's bandwidth. So the whole answer is written at once (its
 * length says where it ends), and then the body is read and thrown away for a bounded time and size before the socket closes.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { isBroken } from "./broken-body.ts";
import type { ErrorAnswer } from "./wire/error.ts";

/** Whether the client may still be sending a body. */
export function hasUnreadBody(incoming: IncomingMessage): boolean {
  if (incoming.complete || isBroken(incoming)) return false;
  return incoming.headers["transfer-encoding"] !== undefined || Number(incoming.headers["content-length"] ?? 0) > 0;
}

/** Writes a JSON answer with `Connection: close` and lets the socket linger. Returns at once; never throws. */
export function answerUnread(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  answer: ErrorAnswer,
  linger: { readonly ms: number; readonly bytesMax: number },
): void {
  if (outgoing.headersSent || outgoing.destroyed) return;
  const body = Buffer.from(JSON.stringify(answer.body));
  outgoing.writeHead(answer.status, {
    ...answer.headers,
    "Content-Type": "application/json",
    "Content-Length": body.length,
    Connection: "close",
  });
  outgoing.write(body);

  let bytes = 0;
  const finish = () => {
    clearTimeout(timer);
    incoming.off("data", count);
    // The head said close: ending the answer ends the socket, whatever is still on its way.
    outgoing.end();
  };
  const count = (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > linger.bytesMax) finish();
  };
  const timer = setTimeout(finish, linger.ms);
  incoming.unpipe();
  incoming.on("error", () => {});
  incoming.once("end", finish);
  incoming.once("close", finish);
  incoming.on("data", count);
  incoming.resume();
}
