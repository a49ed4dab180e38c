/** Live progress over SSE, and the address of the WebSocket for those who did not ask to upgrade. */
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { AppError } from "../../kernel/errors.ts";
import { parseBatchId } from "../../kernel/ids.ts";
import { type Api, type ApiApp, type ApiContext, addRoute, admitReader } from "../context.ts";
import { sseHeaders, streamSse } from "../progress/sse.ts";
import { SOCKET_PATH, unknownBatch } from "../progress/upgrade.ts";
import { parseSince } from "../wire/query.ts";

export function addProgressRoutes(app: ApiApp, api: Api): void {
  addRoute(app, "/batch/:id/events", { GET: (c) => events(api, c) });
  addRoute(app, SOCKET_PATH, {
    GET: (c) => {
      admitReader(api, c, true);
      c.header("Upgrade", "websocket");
      throw new AppError(
        "invalid_request",
        "This address speaks WebSocket: connect with ws:// or use /batch/{id}/events",
      );
    },
  });
}

async function events(api: Api, c: ApiContext): Promise<Response> {
  const { outputs } = admitReader(api, c, true);
  const { incoming, outgoing } = c.env;
  const since = parseSince(c.req.queries("since") ?? [], c.req.header("Last-Event-ID"));
  const text = c.req.param("id") ?? "";
  const batchId = parseBatchId(text.toLowerCase());
  if (batchId === undefined) throw unknownBatch(text);

  using slot = api.slots.take("sse", api.clientAddress(incoming));
  const progress = await api.follow({ batchId, since, outputs, signal: slot.signal });
  if (progress === undefined) throw unknownBatch(text);
  // EventSource connects again after every end; 204 is how it is told to stop.
  if (progress.isExhausted) return c.body(null, 204);
  if (c.req.raw.method === "HEAD") return c.body(null, 200, sseHeaders);
  const count = await streamSse(outgoing, progress, slot, {
    stallMs: api.bounds.stallMs,
    heartbeatMs: api.bounds.heartbeatMs,
    onDropped: () => api.deps.meters.followerDropped("sse"),
  });
  c.set("logFields", { events: count });
  return RESPONSE_ALREADY_SENT;
}
