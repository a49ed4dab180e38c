/** The Hono app: what every answer has in common, then one group of routes after the other. */
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import { AppError } from "../kernel/errors.ts";
import type { Api, ApiApp, ApiContext, ApiEnv } from "./context.ts";
import { WriteEnded } from "./paced-writer.ts";
import { requestId } from "./request-id.ts";
import { addAboutRoutes } from "./routes/about.ts";
import { addAdminRoutes } from "./routes/admin.ts";
import { addBatchRoutes } from "./routes/batches.ts";
import { addProbeRoutes } from "./routes/probes.ts";
import { addProgressRoutes } from "./routes/progress.ts";
import { addSubmitRoute } from "./routes/submit.ts";
import { addTaskRoutes } from "./routes/tasks.ts";
import { answerUnread, hasUnreadBody } from "./unread-body.ts";
import { errorAnswer } from "./wire/error.ts";

/** Builds the app. It answers everything it is asked: what a route throws becomes an error body of the catalogue. */
export function buildApp(api: Api): ApiApp {
  const app = new Hono<ApiEnv>();
  app.use(async (c, next) => {
    const startedMs = api.deps.clock.monotonicMs();
    c.set("requestId", requestId());
    c.set("route", "unknown");
    c.set("logFields", {});
    c.header("X-Content-Type-Options", "nosniff");
    c.header("Cache-Control", "no-store");
    await next();
    record(api, c, api.deps.clock.monotonicMs() - startedMs);
  });
  app.onError((error, c) => refuse(api, c, error));
  app.notFound((c) =>
    refuse(api, c, new AppError("not_found", "There is nothing at this address. The README lists the routes.")),
  );
  addProbeRoutes(app, api);
  addAboutRoutes(app, api);
  addSubmitRoute(app, api);
  addBatchRoutes(app, api);
  addTaskRoutes(app, api);
  addProgressRoutes(app, api);
  addAdminRoutes(app, api);
  return app;
}

/** The error body of whatever was thrown; an unread upload is answered first and thrown away afterwards. */
function refuse(api: Api, c: ApiContext, error: unknown): Response {
  const answer = errorAnswer(error, {
    archiveBytesMax: api.deps.config.MAX_ARCHIVE_BYTES,
    requestId: c.get("requestId"),
  });
  const name = error instanceof WriteEnded ? `client_${error.reason}` : answer.body.error;
  c.set("logFields", { ...c.get("logFields"), error: name });
  if (answer.status >= 500 && !isExpected(error)) {
    api.deps.logger.error({ request_id: c.get("requestId"), route: c.get("route"), err: error }, "request failed");
  }
  const { incoming, outgoing } = c.env;
  if (outgoing.headersSent) {
    // Half an answer can't be taken back: the cut connection says that it is not whole.
    outgoing.destroy();
    return RESPONSE_ALREADY_SENT;
  }
  if (hasUnreadBody(incoming)) {
    answerUnread(incoming, outgoing, answer, { ms: api.bounds.lingerMs, bytesMax: api.bounds.lingerBytesMax });
    return RESPONSE_ALREADY_SENT;
  }
  for (const [name, value] of Object.entries(answer.headers)) c.header(name, value);
  return c.body(JSON.stringify(answer.body), answer.status as 400, { "Content-Type": "application/json" });
}

/** Answers like `busy` are a 503 without being a failure; nor is a client that left. */
function isExpected(error: unknown): boolean {
  if (error instanceof WriteEnded) return true;
  const expected = [
    "whitelist_not_ready",
    "too_many_pending",
    "busy",
    "shutting_down",
    "not_ready",
    "too_many_followers",
  ];
  return error instanceof AppError && expected.includes(error.code);
}

/** One log line and one measurement a request. Probes and scrapes are too many to be told at `info`. */
function record(api: Api, c: ApiContext, ms: number): void {
  const route = c.get("route");
  const status = c.env.outgoing.headersSent ? c.env.outgoing.statusCode : c.res.status;
  api.deps.meters.requestEnded(c.req.method, route, status, ms);
  const fields = { request_id: c.get("requestId"), method: c.req.method, route, status, ms: Math.round(ms) };
  const isProbe = (route === "/health" || route === "/ready" || route === "/metrics") && status < 400;
  api.deps.logger[isProbe ? "debug" : "info"]({ ...fields, ...c.get("logFields") }, "request");
}
