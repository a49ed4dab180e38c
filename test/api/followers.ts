/** Clients that follow a batch, for tests: a raw SSE reader that can pause, and a WebSocket that collects. */
import { once } from "node:events";
import { type ClientRequest, get, type IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import type { EventWire } from "../../src/api/wire/event.ts";

export interface Collected {
  readonly events: EventWire[];
  readonly ids: number[];
}

export interface SseClient extends Collected {
  readonly response: IncomingMessage;
  readonly request: ClientRequest;
  /** resolves when `count` events have come, or the stream has ended */
  until(count: number): Promise<void>;
  ended(): Promise<void>;
  close(): void;
}

/** Opens a stream. @param headers e.g. Last-Event-ID */
export async function openSse(url: string, headers: Record<string, string> = {}): Promise<SseClient> {
  const request = get(url, { headers, agent: false });
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const events: EventWire[] = [];
  const ids: number[] = [];
  let text = "";
  let wake = () => {};
  response.setEncoding("utf8");
  response.on("data", (piece: string) => {
    text += piece;
    const frames = text.split("\n\n");
    text = frames.pop() ?? "";
    for (const frame of frames) {
      const data = /^data: (.*)$/m.exec(frame)?.[1];
      const id = /^id: (\d+)$/m.exec(frame)?.[1];
      if (data === undefined) continue;
      events.push(JSON.parse(data));
      ids.push(Number(id));
    }
    wake();
  });
  response.on("error", () => wake());
  response.on("close", () => wake());
  request.on("error", () => {});
  const waitFor = async (isDone: () => boolean) => {
    while (!isDone()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return {
    events,
    ids,
    response,
    request,
    until: (count) => waitFor(() => events.length >= count || response.destroyed),
    ended: () => waitFor(() => response.destroyed || response.closed),
    close: () => request.destroy(),
  };
}

export interface SocketClient extends Collected {
  readonly socket: WebSocket;
  /** messages as they came, also those that are no events */
  readonly messages: Record<string, unknown>[];
  until(count: number): Promise<void>;
  /** resolves with the close code */
  readonly closed: Promise<number>;
}

export async function openSocket(url: string): Promise<SocketClient> {
  const socket = new WebSocket(url.replace(/^http/, "ws"));
  const events: EventWire[] = [];
  const messages: Record<string, unknown>[] = [];
  let wake = () => {};
  socket.on("message", (data) => {
    const message = JSON.parse(String(data));
    messages.push(message);
    if ("event" in message) events.push(message);
    wake();
  });
  socket.on("error", () => wake());
  let isClosed = false;
  const closed = new Promise<number>((resolve) => {
    socket.once("close", (code) => {
      isClosed = true;
      resolve(code);
      wake();
    });
  });
  await once(socket, "open");
  return {
    socket,
    events,
    ids: [],
    messages,
    closed,
    async until(count) {
      while (messages.length < count && !isClosed) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}
