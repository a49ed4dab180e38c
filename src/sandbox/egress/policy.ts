/** What a sandbox may connect to, and the words in which each decision is told. */
import { isIP } from "node:net";
import type { AddressRule } from "./addresses.ts";

export interface HostPort {
  /** lower case, as DNS has it; never an address, never with a trailing dot */
  readonly host: string;
  readonly port: number;
}

/**
 * Why a connection was refused or ended. Before it: bad_request, ip_literal, not_listed, too_many, unresolved,
 * forbidden_address, unreachable. After it was made, nothing of the client forwarded: not_tls, sni_missing, sni_mismatch.
 * While it ran: bytes_max, idle.
 */
export const egressReasons = [
  "bad_request",
  "ip_literal",
  "not_listed",
  "too_many",
  "unresolved",
  "forbidden_address",
  "unreachable",
  "not_tls",
  "sni_missing",
  "sni_mismatch",
  "bytes_max",
  "idle",
] as const;
export type EgressReason = (typeof egressReasons)[number];

/**
 * One connection (CONNECT) or one plain request. Where `reason` is null when it is told, it was let through so far, and the
 * object goes on counting until it has ended.
 */
export interface Connection {
  /** as the client wrote it, cut and printable: it may be anything */
  readonly host: string;
  /** 0 where none could be read */
  readonly port: number;
  /** bytes of the client were forwarded */
  readonly allowed: boolean;
  readonly reason: EgressReason | null;
  readonly bytesUp: number;
  readonly bytesDown: number;
}

export interface EgressPolicy {
  /** exact hosts and ports; nothing below them, nothing beside them */
  readonly hosts: readonly HostPort[];
  readonly isAddressAllowed: AddressRule;
  /** told every decision, once; never awaited, must not throw */
  readonly onConnection: (connection: Connection) => void;
}

const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;

/** Reads `host:port`, or `host` with a port that is known. @returns undefined for an address, a trailing dot, anything odd */
export function parseHostPort(text: string, portIfNone?: number): HostPort | undefined {
  const match = /^([^:]{1,253})(?::(\d{1,5}))?$/.exec(text);
  const host = match?.[1]?.toLowerCase();
  const port = match?.[2] === undefined ? portIfNone : Number(match[2]);
  if (host === undefined || port === undefined || port < 1 || port > 65_535) return undefined;
  return isHostName(host) ? { host, port } : undefined;
}

/** DNS names whose last label is not a number: `1`, `0x7f.1` and `127.1` are addresses to a resolver. */
export function isHostName(host: string): boolean {
  const labels = host.split(".");
  if (host.length > 253 || !labels.every((label) => LABEL.test(label))) return false;
  return isIP(host) === 0 && !/^(\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "");
}

export function isListed(policy: EgressPolicy, { host, port }: HostPort): boolean {
  return policy.hosts.some((entry) => entry.host === host && entry.port === port);
}
