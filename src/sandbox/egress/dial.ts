/** One name to one connection: resolved once, every answer judged, and connected to the very address that was judged. */
import { lookup } from "node:dns/promises";
import { isIP, connect as netConnect, type Socket } from "node:net";
import type { Clock } from "../../kernel/clock.ts";
import type { AddressRule } from "./addresses.ts";
import type { EgressReason, HostPort } from "./policy.ts";

/** @returns every address of `host`; rejects where there is none */
export type Resolve = (host: string) => Promise<readonly string[]>;

export const systemResolve: Resolve = async (host) =>
  (await lookup(host, { all: true, verbatim: true })).map((entry) => entry.address);

/**
 * Asks once for a host and keeps a good answer for `keptMs`: an index that opens a connection for each of 500 files would
 * else meet the resolver's lost packets, at 5 s each.
 */
export function keeping(resolve: Resolve, clock: Clock, keptMs: number): Resolve {
  const kept = new Map<string, { readonly answer: Promise<readonly string[]>; readonly untilMs: number }>();
  return (host) => {
    const known = kept.get(host);
    if (known !== undefined && clock.monotonicMs() < known.untilMs) return known.answer;
    const answer = resolve(host);
    const entry = { answer, untilMs: clock.monotonicMs() + keptMs };
    kept.set(host, entry);
    answer.catch(() => {
      if (kept.get(host) === entry) kept.delete(host);
    });
    return answer;
  };
}

export interface DialOptions {
  readonly resolve: Resolve;
  readonly isAddressAllowed: AddressRule;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export type Dialled =
  | { readonly kind: "connected"; readonly socket: Socket }
  | {
      readonly kind: "refused";
      readonly reason: Extract<EgressReason, "unresolved" | "forbidden_address" | "unreachable">;
    };

const RESOLVE_MS = 10_000;
const CONNECT_MS = 10_000;
/** Addresses of one name that are tried. */
const TRIES_MAX = 4;

/** Never rejects, but with the signal's reason. */
export async function dial({ host, port }: HostPort, options: DialOptions): Promise<Dialled> {
  const { resolve, isAddressAllowed, clock, signal } = options;
  const addresses = await within(RESOLVE_MS, clock, signal, () => resolve(host));
  signal.throwIfAborted();
  if (addresses === undefined || addresses.length === 0) return { kind: "refused", reason: "unresolved" };
  // One forbidden answer among good ones is an attack or a mistake; either way not ours to pick from.
  if (!addresses.every(isAddressAllowed)) return { kind: "refused", reason: "forbidden_address" };
  const inOrder = [...addresses].sort((a, b) => isIP(a) - isIP(b)).slice(0, TRIES_MAX);
  for (const address of inOrder) {
    const socket = await within(CONNECT_MS, clock, signal, (over) => connect(address, port, over));
    signal.throwIfAborted();
    if (socket !== undefined) return { kind: "connected", socket };
  }
  return { kind: "refused", reason: "unreachable" };
}

function connect(address: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = netConnect({ host: address, port, allowHalfOpen: true, noDelay: true });
    const onAbort = () => socket.destroy(new Error("out of time"));
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      signal.removeEventListener("abort", onAbort);
      socket.off("error", reject);
      resolve(socket);
    });
  });
}

/** @returns undefined where `work` failed, or took longer than `ms` */
async function within<T>(
  ms: number,
  clock: Clock,
  signal: AbortSignal,
  work: (over: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const over = new AbortController();
  const stop = AbortSignal.any([over.signal, signal]);
  const late = clock.sleep(ms, stop).then(
    () => undefined,
    () => undefined,
  );
  try {
    return await Promise.race([work(stop).catch(() => undefined), late]);
  } finally {
    over.abort();
  }
}
