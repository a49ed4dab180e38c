/**
 * `POST /submit`. The order of checks is the contract's: who calls is decided before a byte of the body is read, and a
 * client that asked (`Expect: 100-continue`) is only then told to send it. Then the archive room receives and reads the
 * upload and casts the vote; the door only translates.
 */
import type { IncomingMessage } from "node:http";
import type { SignedHead } from "../../admission/port.ts";
import { AppError } from "../../kernel/errors.ts";
import { anySignal } from "../../kernel/signals.ts";
import { onBroken } from "../broken-body.ts";
import { type Api, type ApiApp, type ApiContext, addRoute } from "../context.ts";
import { parseConcurrentTasks } from "../wire/query.ts";
import { submitToWire } from "../wire/submit.ts";

export function addSubmitRoute(app: ApiApp, api: Api): void {
  addRoute(app, "/submit", { POST: (c) => submit(api, c) });
}

async function submit(api: Api, c: ApiContext): Promise<Response> {
  const { incoming, outgoing } = c.env;
  if (api.closing.aborted) throw new AppError("shutting_down", "the server drains");
  const asked = c.req.queries("concurrent_tasks") ?? [];
  const caller = await api.deps.gate.authenticate(signedHead(api, incoming, asked[0]), "submit");
  const concurrentTasks = parseConcurrentTasks(asked, api.deps.config.MAX_CONCURRENT_TASKS);

  if (/100-continue/i.test(incoming.headers.expect ?? "")) outgoing.writeContinue();
  using away = clientAway(incoming);
  const result = await api.deps.submit({
    caller,
    body: incoming,
    headers: incoming.headers,
    concurrentTasks,
    signal: anySignal(away.signal, api.drained),
  });
  api.deps.meters.voteCounted(result.repeated ? "repeated" : result.state);
  c.set("logFields", { batch_id: result.batchId, hotkey: caller.hotkey, votes: result.votes, state: result.state });
  return c.json(submitToWire(result), 202);
}

/** The head as it came over the wire: doubled headers stay two, the path is the request line's. */
function signedHead(api: Api, incoming: IncomingMessage, concurrentTasks: string | undefined): SignedHead {
  const header = (name: string) => incoming.headersDistinct[name] ?? [];
  return {
    hotkey: header("x-hotkey"),
    nonce: header("x-nonce"),
    signature: header("x-signature"),
    method: incoming.method ?? "",
    path: requestLinePath(incoming.url ?? "/"),
    concurrentTasks,
    remoteAddress: api.clientAddress(incoming),
  };
}

/** The path of the request line, without query; of an absolute target (RFC 9112 § 3.2.2) its path. */
function requestLinePath(target: string): string {
  const path = target.startsWith("/") ? target : target.replace(/^[a-z]+:\/\/[^/?#]*/i, "");
  return path.replace(/[?#].*$/s, "") || "/";
}

/** Aborts when the connection breaks before the body is whole. Afterwards the vote stands, whether anyone still listens or not. */
function clientAway(incoming: IncomingMessage): { readonly signal: AbortSignal } & Disposable {
  const away = new AbortController();
  const onEnd = () => {
    if (!incoming.complete)
      away.abort(new AppError("upload_failed", "the connection closed before the body was complete"));
  };
  incoming.once("close", onEnd);
  const stop = onBroken(incoming, onEnd);
  return {
    signal: away.signal,
    [Symbol.dispose]: () => {
      incoming.off("close", onEnd);
      stop();
    },
  };
}
