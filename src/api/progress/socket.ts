/**
 * One follower on a WebSocket. It has nothing to say: what it sends is counted and thrown away, and one that floods is
 * closed. Each event is handed to the kernel before the next is read, so a client that does not read holds one event.
 */
import { WebSocket } from "ws";
import type { Bounds } from "../bounds.ts";
import { WriteEnded } from "../paced-writer.ts";

/** Close codes of RFC 6455, and one of our own range. */
export const closeCodes = { normal: 1000, goingAway: 1001, policy: 1008, failed: 1011, notFound: 4404 } as const;

const MINUTE_MS = 60_000;
/** How long a client that is being closed may take to answer, ms. */
const CLOSE_MS = 1_000;
const MISSED_PONGS_MAX = 2;

/** Sends one text. Resolves when the kernel has it. @throws WriteEnded when the client stalls or is gone */
export function sendText(socket: WebSocket, text: string, stallMs: number): Promise<void> {
  if (socket.readyState !== WebSocket.OPEN) return Promise.reject(new WriteEnded("closed"));
  return new Promise((resolve, reject) => {
    let isStalled = false;
    const timer = setTimeout(() => {
      isStalled = true;
      socket.terminate();
    }, stallMs);
    socket.send(text, (error) => {
      clearTimeout(timer);
      if (error === undefined || error === null) resolve();
      else reject(new WriteEnded(isStalled ? "stalled" : "closed"));
    });
  });
}

/** Asks for a clean close, and insists soon after. */
export function closeSoon(socket: WebSocket, code: number, reason: string): void {
  socket.close(code, reason);
  const timer = setTimeout(() => socket.terminate(), CLOSE_MS);
  socket.once("close", () => clearTimeout(timer));
}

/** Counts what the client sends and pings it. @returns stop */
export function guardSocket(socket: WebSocket, bounds: Bounds): () => void {
  let frames = 0;
  let missedPongs = 0;
  let isFlooding = false;
  const count = () => {
    frames += 1;
    if (frames <= bounds.socketFramesPerMinuteMax || isFlooding) return;
    isFlooding = true;
    // Nothing more is read of it: what it sends now fills its own buffers.
    socket.pause();
    socket.close(closeCodes.policy, "too many frames");
    setTimeout(() => socket.terminate(), CLOSE_MS / 4);
  };
  // An error is followed by `close`; without a listener it would end the process.
  socket.on("error", () => {});
  socket.on("message", count);
  socket.on("ping", count);
  socket.on("pong", () => {
    missedPongs = 0;
    count();
  });
  const window = setInterval(() => {
    frames = 0;
  }, MINUTE_MS);
  const beat = setInterval(() => {
    if (missedPongs >= MISSED_PONGS_MAX) return socket.terminate();
    missedPongs += 1;
    if (socket.readyState === WebSocket.OPEN && socket.bufferedAmount === 0) socket.ping();
  }, bounds.heartbeatMs);
  return () => {
    clearInterval(window);
    clearInterval(beat);
  };
}
