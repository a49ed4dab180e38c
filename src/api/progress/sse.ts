/** Server-sent events: framing, pace, heartbeats. */
import type { ServerResponse } from "node:http";
import { PacedWriter, WriteEnded } from "../paced-writer.ts";
import type { EventWire } from "../wire/event.ts";
import type { Progress } from "./follow.ts";
import type { Slot } from "./slots.ts";

/** What EventSource waits before it connects again, ms. */
const RETRY_MS = 2_000;

export interface SseOptions {
  readonly stallMs: number;
  readonly heartbeatMs: number;
  readonly onDropped: () => void;
}

/** Streams until the end of the batch, the client or the server. Each event is written before the next one is read. */
export async function streamSse(
  outgoing: ServerResponse,
  progress: Progress,
  slot: Slot,
  options: SseOptions,
): Promise<number> {
  const writer = new PacedWriter(outgoing, options.stallMs);
  const beat = setInterval(() => {
    if (!outgoing.destroyed && !outgoing.writableNeedDrain) outgoing.write(": keep-alive\n\n");
  }, options.heartbeatMs);
  outgoing.once("close", slot.end);
  let count = 0;
  try {
    outgoing.writeHead(200, sseHeaders);
    await writer.write(`retry: ${RETRY_MS}\n\n`);
    for await (const event of progress.events()) {
      await writer.write(sseFrame(event));
      count += 1;
    }
    outgoing.end();
  } catch (error) {
    if (error instanceof WriteEnded && error.reason === "stalled") options.onDropped();
    outgoing.destroy();
    if (!(error instanceof WriteEnded)) throw error;
  } finally {
    clearInterval(beat);
    outgoing.off("close", slot.end);
  }
  return count;
}

export const sseHeaders = {
  "Content-Type": "text/event-stream",
  "Cache-Control": "no-store",
  // Proxies of the nginx kind hold streams back without it.
  "X-Accel-Buffering": "no",
  "X-Content-Type-Options": "nosniff",
};

/** JSON holds no line break, so one `data` line is enough. */
export function sseFrame(event: EventWire): string {
  return `id: ${event.seq}\nevent: ${event.event}\ndata: ${JSON.stringify(event)}\n\n`;
}
