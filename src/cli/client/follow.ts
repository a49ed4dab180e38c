/**
 * Follows a batch over server-sent events to its end. A connection that breaks is taken up again after the last event
 * that was seen, so that nothing is lost and nothing comes twice; silence longer than the server's heartbeat counts as
 * broken, and a server that stays away is given up.
 */
import * as v from "valibot";
import type { Clock } from "../../kernel/clock.ts";
import { CliError } from "../errors.ts";
import { authHeaders, refusal, type Server, unreachable } from "./http.ts";
import { readMessages } from "./sse.ts";
import { eventWire, isEnd, type LiveEvent } from "./wire.ts";

const SILENCE_MS = 60_000;
const AWAY_MS = 60_000;
const PAUSE_MS = 500;

/** Every event of the batch, beginning with a snapshot. @throws CliError `refused`, or `unreachable` after a minute away */
export async function* follow(
  server: Server,
  batchId: string,
  clock: Clock,
  signal?: AbortSignal,
): AsyncGenerator<LiveEvent> {
  let lastId = "";
  let lastSeq = -1;
  let awaySinceMs = clock.monotonicMs();
  for (;;) {
    try {
      for await (const message of connect(server, batchId, lastId, signal)) {
        lastId = message.id === "" ? lastId : message.id;
        const event = v.parse(eventWire, JSON.parse(message.data));
        awaySinceMs = clock.monotonicMs(); // only what is understood counts as a sign of life
        const isSnapshot = event.event === "snapshot";
        if (event.event === "stream_closed") {
          if (event.data.reason !== "server_closing") return;
          break;
        }
        if (!isSnapshot && event.seq <= lastSeq) continue;
        lastSeq = Math.max(lastSeq, event.seq);
        yield event;
        if (event.event === "batch_complete" || (isSnapshot && isEnd(String(event.data.status)))) return;
      }
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      if (error === ended) return;
      if (error instanceof CliError && error.exit === "refused") throw error;
      if (clock.monotonicMs() - awaySinceMs > AWAY_MS) throw unreachable(server, error);
    }
    if (clock.monotonicMs() - awaySinceMs > AWAY_MS) throw unreachable(server, "the stream ends again and again");
    await clock.sleep(PAUSE_MS, signal);
  }
}

/** 204: the batch is over and all of it was heard */
const ended = new Error("ended");

async function* connect(server: Server, batchId: string, lastId: string, signal: AbortSignal | undefined) {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(new Error("the stream fell silent")), SILENCE_MS);
  try {
    const response = await fetch(`${server.url}/batch/${batchId}/events`, {
      headers: {
        accept: "text/event-stream",
        ...authHeaders(server),
        ...(lastId === "" ? {} : { "last-event-id": lastId }),
      },
      signal: AbortSignal.any([silence.signal, ...(signal === undefined ? [] : [signal])]),
    });
    if (response.status === 204) throw ended;
    if (!response.ok || response.body === null) throw refusal(server, response.status, await response.text());
    yield* readMessages(heard(response.body, timer));
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

async function* heard(body: AsyncIterable<Uint8Array>, timer: NodeJS.Timeout): AsyncGenerator<Uint8Array> {
  for await (const bytes of body) {
    timer.refresh();
    yield bytes;
  }
}
