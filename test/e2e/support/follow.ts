/** Followers of a batch as strangers would write them: SSE over plain fetch, WebSocket over `ws`. */
import { WebSocket } from "ws";

export interface WireEvent {
  readonly event: string;
  readonly batch_id: string;
  readonly task_id?: string;
  readonly seq: number;
  readonly at: string;
  // biome-ignore lint/suspicious/noExplicitAny: the wire's JSON, asserted on by each test
  readonly data: any;
}

export interface Followed {
  readonly events: readonly WireEvent[];
  /** HTTP status of the SSE answer, or 101 */
  readonly status: number;
}

/** Reads `/batch/{id}/events` to its end. */
export async function followSse(
  url: string,
  batchId: string,
  lastEventId?: string,
  signal?: AbortSignal,
): Promise<Followed> {
  const response = await fetch(`${url}/batch/${batchId}/events`, {
    headers: { accept: "text/event-stream", ...(lastEventId === undefined ? {} : { "last-event-id": lastEventId }) },
    ...(signal === undefined ? {} : { signal }),
  });
  const events: WireEvent[] = [];
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    return { events, status: response.status };
  }
  let rest = "";
  try {
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
      const blocks = (rest + chunk).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const data = block.split("\n").filter((line) => line.startsWith("data:"));
        if (data.length > 0)
          events.push(JSON.parse(data.map((line) => line.slice(5).trimStart()).join("\n")) as WireEvent);
      }
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
  return { events, status: 200 };
}

/** Reads `/ws?batch_id=` until the server closes it. */
export function followWs(url: string, batchId: string, since?: number): Promise<Followed> {
  const socket = new WebSocket(
    `${url.replace(/^http/, "ws")}/ws?batch_id=${batchId}${since === undefined ? "" : `&since=${since}`}`,
  );
  const events: WireEvent[] = [];
  return new Promise((done, fail) => {
    socket.on("message", (bytes) => events.push(JSON.parse(String(bytes)) as WireEvent));
    socket.on("error", fail);
    socket.on("close", () => done({ events, status: 101 }));
  });
}

/** The journal's own events of what a follower saw: without `snapshot` and `stream_closed`, which are made for each. */
export function journaled(events: readonly WireEvent[]): readonly WireEvent[] {
  return events.filter(({ event }) => event !== "snapshot" && event !== "stream_closed");
}

/** @returns undefined where the numbers follow each other without a gap or a double, else the first offence in words */
export function firstGap(events: readonly WireEvent[], after: number): string | undefined {
  let expected = after + 1;
  for (const { seq, event } of journaled(events)) {
    if (seq !== expected) return `${event} has seq ${seq}, expected ${expected}`;
    expected++;
  }
  return undefined;
}
