/** `/health`: this process answers. `/ready`: what it needs answers too. Both stay open whatever READ_AUTH says. */
import { AppError } from "../../kernel/errors.ts";
import { type Api, type ApiApp, addRoute } from "../context.ts";
import type { ReadinessCheck } from "../deps.ts";
import type { ReadyWire } from "../wire/status.ts";

export function addProbeRoutes(app: ApiApp, api: Api): void {
  addRoute(app, "/health", { GET: (c) => c.json({ status: "ok" }) });

  // Shared for a moment: a flood of probes asks store and engine once.
  let latest: { readonly atMs: number; readonly result: Promise<ReadyWire> } | undefined;
  addRoute(app, "/ready", {
    GET: async (c) => {
      const nowMs = api.deps.clock.monotonicMs();
      if (latest === undefined || nowMs - latest.atMs > api.bounds.readinessCacheMs) {
        latest = { atMs: nowMs, result: checkAll(api) };
      }
      const body = await latest.result;
      if (body.status === "ready") return c.json(body);
      c.header("Retry-After", "5");
      return c.json(body, 503);
    },
  });
}

async function checkAll(api: Api): Promise<ReadyWire> {
  const checks: ReadyWire["checks"] = {};
  const { store, validators, readiness } = api.deps;
  const all: Record<string, ReadinessCheck> = {
    store: () => store.ping(),
    validators: async () => {
      if ((validators.current()?.keys.size ?? 0) === 0)
        throw new AppError("whitelist_not_ready", "no set was read yet");
    },
    ...readiness,
  };
  await Promise.all(
    Object.entries(all).map(async ([name, check]) => {
      checks[name] = await runCheck(check, api.bounds.readinessMs);
    }),
  );
  if (api.closing.aborted) checks.server = { ready: false, reason: "shutting_down" };
  const missing = Object.keys(checks).filter((name) => checks[name]?.ready !== true);
  if (missing.length === 0) return { status: "ready", checks };
  return { status: "not_ready", error: "not_ready", message: `Not ready: ${missing.sort().join(", ")}`, checks };
}

/** The reason is a code, never the fault's own text, which may name endpoints and paths. */
async function runCheck(check: ReadinessCheck, timeoutMs: number): Promise<ReadyWire["checks"][string]> {
  const signal = AbortSignal.timeout(timeoutMs);
  const timedOut = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    await Promise.race([check(signal), timedOut]);
    return { ready: true, reason: null };
  } catch (error) {
    const reason = signal.aborted ? "timeout" : error instanceof AppError ? error.code : "failed";
    return { ready: false, reason };
  }
}
