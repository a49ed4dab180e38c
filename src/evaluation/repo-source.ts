/** Where a task's repository comes from, decided before any sandbox is opened: what git may speak, mount and connect to. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { AppError } from "../kernel/errors.ts";
import type { AddressRule } from "../sandbox/egress/addresses.ts";
import type { Mount } from "../sandbox/port.ts";
import { places } from "./places.ts";

export type RepoSource =
  | { readonly kind: "file"; readonly url: string; readonly mount: Mount }
  /** `resolve` is curl's `host:port:address`: git connects to the address that was checked, not to a later answer */
  | { readonly kind: "https"; readonly url: string; readonly resolve: string };

/** The task's own fault: no such host allowed, no such place. */
export interface SourceRefusal {
  readonly kind: "refused";
  readonly error: string;
}

/** @returns every address of `host`; rejects as `dns.lookup` does */
export type ResolveHost = (host: string) => Promise<readonly string[]>;

export const systemResolve: ResolveHost = async (host) =>
  (await lookup(host, { all: true, verbatim: true })).map((entry) => entry.address);

/**
 * Reads a clone URL strictly (https or file, no credentials, no query) and checks where it leads.
 * @throws AppError `git_unreachable` where the name can't be resolved just now
 */
export async function repoSource(
  repoUrl: string,
  isAllowed: AddressRule,
  resolve: ResolveHost,
): Promise<RepoSource | SourceRefusal> {
  const url = URL.canParse(repoUrl) ? new URL(repoUrl) : undefined;
  if (url === undefined) return refused(`The repository URL ${show(repoUrl)} can't be read.`);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    return refused(`The repository URL of ${show(url.host)} must hold no credentials, query or fragment.`);
  }
  if (url.protocol === "file:") return fileSource(url);
  if (url.protocol === "https:") return httpsSource(url, isAllowed, resolve);
  return refused(`The repository URL ${show(repoUrl)} must begin with https:// or file:///.`);
}

/**
 * A served repository is mounted at one place of ours, whatever its path: nothing of the sandbox can be covered by it, and
 * no path of the host is seen inside.
 */
function fileSource(url: URL): RepoSource | SourceRefusal {
  const path = decodePath(url.pathname);
  const parts = path?.split("/") ?? [];
  const isPlain =
    url.host === "" &&
    path !== undefined &&
    parts.length >= 3 &&
    parts[0] === "" &&
    parts.slice(1).every((part) => part !== "" && part !== "." && part !== ".." && !/[\0-\x1f\x7f]/.test(part));
  if (!isPlain)
    return refused(`The repository path ${show(url.pathname)} must be absolute, plain and two folders deep.`);
  const mount: Mount = { kind: "hostPath", source: path, target: places.served, readOnly: true };
  return { kind: "file", url: `file://${places.served}`, mount };
}

async function httpsSource(
  url: URL,
  isAllowed: AddressRule,
  resolve: ResolveHost,
): Promise<RepoSource | SourceRefusal> {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const addresses = isIP(host) === 0 ? await resolveOrThrow(host, resolve) : [host];
  // One forbidden answer among good ones is an attack or a mistake; either way not ours to pick from.
  const forbidden = addresses.find((address) => !isAllowed(address));
  const address = addresses.find((candidate) => isIP(candidate) === 4) ?? addresses[0];
  if (forbidden !== undefined || address === undefined) {
    return refused(
      `The repository host ${show(host)} has a private or reserved address; add its range to EGRESS_ALLOW_CIDRS if that is intended.`,
    );
  }
  return {
    kind: "https",
    url: url.href,
    resolve: `${host}:${url.port === "" ? "443" : url.port}:${bracketed(address)}`,
  };
}

async function resolveOrThrow(host: string, resolve: ResolveHost): Promise<readonly string[]> {
  try {
    return await resolve(host);
  } catch (cause) {
    throw new AppError(
      "git_unreachable",
      `the repository host ${show(host)} can't be resolved; check the name and DNS`,
      {
        cause,
      },
    );
  }
}

function bracketed(address: string): string {
  return isIP(address) === 6 ? `[${address}]` : address;
}

function decodePath(pathname: string): string | undefined {
  try {
    return decodeURIComponent(pathname);
  } catch {
    return undefined;
  }
}

function show(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}

function refused(error: string): SourceRefusal {
  return { kind: "refused", error };
}
