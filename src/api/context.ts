/** What every route can reach, and how routes are added. */
import type { HttpBindings } from "@hono/node-server";
import type { Context, Hono } from "hono";
import { AppError } from "../kernel/errors.ts";
import type { Bounds } from "./bounds.ts";
import type { ClientAddress } from "./client-address.ts";
import type { ApiDeps } from "./deps.ts";
import type { Follow } from "./progress/follow.ts";
import type { FollowerSlots } from "./progress/slots.ts";
import type { ReadAuth, Reader } from "./read-auth.ts";
import type { Turns } from "./turns.ts";

export interface ApiEnv {
  Bindings: HttpBindings;
  Variables: {
    /** pattern of the route that answers: label of metrics and logs */
    route: string;
    requestId: string;
    /** further fields of this request's log line */
    logFields: Record<string, unknown>;
  };
}
export type ApiContext = Context<ApiEnv>;
export type ApiApp = Hono<ApiEnv>;

/** The door's own parts, made once by createApi. */
export interface Api {
  readonly deps: ApiDeps;
  readonly bounds: Bounds;
  readonly clientAddress: ClientAddress;
  readonly readAuth: ReadAuth;
  readonly follow: Follow;
  readonly slots: FollowerSlots;
  readonly outputTurns: Turns;
  readonly startedAtMs: number;
  /** aborts when the server begins to close: followers end, submissions are refused */
  readonly closing: AbortSignal;
  /** aborts when the time to drain is over: what is still received is given up */
  readonly drained: AbortSignal;
}

type Handler = (c: ApiContext) => Response | Promise<Response>;

/** Adds the methods of one path; every other method is answered 405 with `Allow`. HEAD comes with GET. */
export function addRoute(app: ApiApp, path: string, handlers: Partial<Record<"GET" | "POST", Handler>>): void {
  const allowed = Object.keys(handlers).flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  app.all(path, (c) => {
    c.set("route", path);
    const method = c.req.method === "HEAD" ? "GET" : c.req.method;
    const handler = method === "GET" || method === "POST" ? handlers[method] : undefined;
    if (handler !== undefined) return handler(c);
    c.header("Allow", allowed.join(", "));
    throw new AppError("method_not_allowed", `This address takes ${allowed.join(" and ")} only`);
  });
}

/** Lets the request read, or throws; `?token=` counts only where `tokenInQuery` says so. */
export function admitReader(api: Api, c: ApiContext, tokenInQuery = false): Reader {
  return api.readAuth({
    authorization: c.env.incoming.headers.authorization,
    queryToken: tokenInQuery ? c.req.query("token") : undefined,
    address: api.clientAddress(c.env.incoming),
  });
}

/** Lets an administrator's request through. @throws AppError `read_auth_required` without a token, `forbidden` with another */
export function admitAdmin(api: Api, c: ApiContext): void {
  if (api.deps.config.ADMIN_TOKEN === "") {
    throw new AppError("forbidden", "This server has no administrator: set ADMIN_TOKEN to make one");
  }
  if (c.env.incoming.headers.authorization === undefined) {
    throw new AppError("read_auth_required", "This needs the administrator's token: Authorization: Bearer <token>");
  }
  if (!admitReader(api, c).isAdmin) throw new AppError("forbidden", "This needs the administrator's token");
}

/** Milliseconds since the server was made. */
export function uptimeMs(api: Api): number {
  return api.deps.clock.monotonicMs() - api.startedAtMs;
}

/** The path as it was sent, still percent-encoded, without the query. */
export function encodedPath(c: ApiContext): string {
  return new URL(c.req.url).pathname;
}
