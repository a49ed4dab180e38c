/**
 * The HTTP door. It translates the wire into calls of other rooms and back, and decides nothing but who may read.
 *
 * `createApi` builds the app once; `listen` opens the port. Closing goes in steps: no new connections, submissions are
 * refused, followers are told and ended; requests under way may finish within the grace; then what is left is cut.
 */
import { once } from "node:events";
import type { Server } from "node:http";
import { AppError } from "../kernel/errors.ts";
import { buildApp } from "./app.ts";
import { bounds as defaultBounds } from "./bounds.ts";
import { clientAddressOf } from "./client-address.ts";
import type { Api, ApiApp } from "./context.ts";
import type { ApiDeps } from "./deps.ts";
import { createHttpServer } from "./http-server.ts";
import { createFollow } from "./progress/follow.ts";
import { createFollowerSlots } from "./progress/slots.ts";
import { attachSockets } from "./progress/upgrade.ts";
import { createReadAuth } from "./read-auth.ts";
import { createTurns } from "./turns.ts";

export interface Listening {
  /** e.g. `http://127.0.0.1:8080` */
  readonly address: string;
  readonly port: number;
  /** Closes as above; resolves when no connection is left. @param graceMs for requests under way */
  close(graceMs: number): Promise<void>;
}

export interface ApiServer {
  readonly app: ApiApp;
  /** @param port 0: the system chooses @throws AppError `invalid_config` where the address can't be had */
  listen(host: string, port: number): Promise<Listening>;
}

/** How often a closing server looks for connections that have become idle, ms. */
const CLOSE_BEAT_MS = 50;
/** What aborted requests get to write their answer, ms. */
const LAST_WORDS_MS = 250;

export function createApi(deps: ApiDeps): ApiServer {
  const bounds = { ...defaultBounds, ...deps.bounds };
  const closing = new AbortController();
  const drained = new AbortController();
  const slots = createFollowerSlots(bounds, deps.meters);
  const api: Api = {
    deps,
    bounds,
    clientAddress: clientAddressOf(deps.config.TRUSTED_PROXIES),
    readAuth: createReadAuth(deps.config, deps.clock),
    follow: createFollow(deps),
    slots,
    outputTurns: createTurns(bounds),
    startedAtMs: deps.clock.monotonicMs(),
    closing: closing.signal,
    drained: drained.signal,
  };
  const app = buildApp(api);
  return {
    app,
    async listen(host, port) {
      const server = createHttpServer(app, api);
      const sockets = attachSockets(server, api);
      const taken = await open(server, host, port);
      let closed: Promise<void> | undefined;
      const close = async (graceMs: number) => {
        closing.abort();
        const gone = once(server, "close");
        server.close();
        slots.endAll();
        const beat = setInterval(() => server.closeIdleConnections(), CLOSE_BEAT_MS);
        const cut = setTimeout(() => {
          drained.abort(new AppError("shutting_down", "the time to drain is over"));
          setTimeout(() => {
            server.closeAllConnections();
            sockets.terminateAll();
          }, LAST_WORDS_MS);
        }, graceMs);
        await gone;
        clearInterval(beat);
        clearTimeout(cut);
        sockets.terminateAll();
      };
      return {
        ...taken,
        close(graceMs) {
          closed ??= close(graceMs);
          return closed;
        },
      };
    },
  };
}

async function open(server: Server, host: string, port: number): Promise<{ address: string; port: number }> {
  try {
    server.listen({ host, port });
    await once(server, "listening");
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? "unknown";
    const next = code === "EADDRINUSE" ? "another program has it; choose another PORT" : "check HOST and PORT";
    throw new AppError("invalid_config", `HOST=${host} PORT=${port} can't be listened on (${code}): ${next}`, {
      cause,
    });
  }
  const bound = server.address();
  const actual = bound !== null && typeof bound === "object" ? bound.port : port;
  return { address: `http://${host.includes(":") ? `[${host}]` : host}:${actual}`, port: actual };
}
