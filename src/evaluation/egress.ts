/**
 * The network of build sandboxes (NETWORK_INSTALL): an allow-list of the git host, REPO_HOSTS and EGRESS_HOSTS, or open.
 *
 * No registry is named in this program. The word `image` in EGRESS_HOSTS stands for the hosts that the package managers of
 * the sandbox image are configured to use (pip, npm, Go, gem, apt); they are asked once an image, before anything untrusted
 * is in the sandbox and with nothing but the git hosts in reach.
 */
import { AppError } from "../kernel/errors.ts";
import { succeeded } from "../kernel/outcome.ts";
import type { AddressRule } from "../sandbox/egress/addresses.ts";
import { type ConnectionCount, Ledger } from "../sandbox/egress/ledger.ts";
import { type EgressPolicy, type EgressReason, type HostPort, parseHostPort } from "../sandbox/egress/policy.ts";
import type { Sandbox } from "../sandbox/port.ts";
import type { EvaluationLogger } from "./logger.ts";
import { PATH } from "./places.ts";
import type { RepoSource } from "./repo-source.ts";

export interface EgressSettings {
  readonly kind: "allow-list" | "open";
  /** beside the task's own git host */
  readonly hosts: readonly HostPort[];
  /** whether the image's own registries are allowed too */
  readonly withImageHosts: boolean;
  readonly isAddressAllowed: AddressRule;
}

/** The word in EGRESS_HOSTS for what the image's package managers use. */
const IMAGE = "image";
const HTTPS = 443;

/** @throws AppError `invalid_config` naming the entry that is no host */
export function egressSettings(
  config: {
    readonly NETWORK_INSTALL: EgressSettings["kind"];
    readonly EGRESS_HOSTS: readonly string[];
    readonly REPO_HOSTS: readonly string[];
  },
  isAddressAllowed: AddressRule,
): EgressSettings {
  const listed = config.EGRESS_HOSTS.filter((entry) => entry !== IMAGE).map((entry) => {
    const host = parseHostPort(entry, HTTPS);
    if (host !== undefined) return host;
    const shown = JSON.stringify(entry.slice(0, 80));
    throw new AppError("invalid_config", `EGRESS_HOSTS: ${shown} is not a host, host:port, or the word ${IMAGE}`);
  });
  const gitHosts = config.REPO_HOSTS.flatMap((entry) => parseHostPort(entry, HTTPS) ?? []);
  return {
    kind: config.NETWORK_INSTALL,
    hosts: [...gitHosts, ...listed],
    withImageHosts: config.EGRESS_HOSTS.includes(IMAGE),
    isAddressAllowed,
  };
}

/** The network of one build sandbox, and what was done with it. */
export interface BuildNetwork {
  readonly network: "open" | EgressPolicy;
  /** Completes the allow-list. Called when the sandbox is open and holds nothing untrusted yet. */
  complete(sandbox: Sandbox, imageId: string, signal: AbortSignal): Promise<void>;
  /** @returns the connections since the last call; none where the network is open: nobody counts them */
  take(): readonly ConnectionCount[];
}

export class Egress {
  readonly #settings: EgressSettings;
  readonly #logger: EvaluationLogger;
  /** by content id of the image */
  readonly #imageHosts = new Map<string, readonly HostPort[]>();

  constructor(settings: EgressSettings, logger: EvaluationLogger) {
    this.#settings = settings;
    this.#logger = logger;
  }

  /** @param source of the task; absent where no repository is fetched */
  network(source?: RepoSource): BuildNetwork {
    const { kind, isAddressAllowed, withImageHosts } = this.#settings;
    const ledger = new Ledger();
    const take = () => ledger.take();
    if (kind === "open") return { network: "open", complete: async () => {}, take };
    const hosts = [...gitHostOf(source), ...this.#settings.hosts];
    const network = { hosts, isAddressAllowed, onConnection: ledger.add.bind(ledger) };
    const complete = async (sandbox: Sandbox, imageId: string, signal: AbortSignal) => {
      if (withImageHosts) hosts.push(...(await this.#hostsOf(sandbox, imageId, signal)));
    };
    return { network, complete, take };
  }

  async #hostsOf(sandbox: Sandbox, imageId: string, signal: AbortSignal): Promise<readonly HostPort[]> {
    const known = this.#imageHosts.get(imageId);
    if (known !== undefined) return known;
    const { outcome, stdout } = await sandbox.runForData(question, { signal });
    const hosts = succeeded(outcome) ? hostsIn(stdout.toString("latin1")) : [];
    const shown = hosts.map(({ host, port }) => `${host}:${port}`);
    if (hosts.length === 0)
      this.#logger.warn({ imageId }, "the sandbox image names no package registry; see EGRESS_HOSTS");
    else this.#logger.info({ imageId, hosts: shown }, "package registries of the sandbox image");
    if (succeeded(outcome)) this.#imageHosts.set(imageId, hosts);
    return hosts;
  }
}

/** One sentence on what the allow-list refused, for the error of a command that failed; empty where nothing was. */
export function describeRefused(counts: readonly ConnectionCount[]): string {
  const refused = counts.filter(({ reason }) => reason !== null).slice(0, 10);
  if (refused.length === 0) return "";
  const shown = refused.map(({ host, port, reason }) => `${host}:${port} (${reason})`).join(", ");
  const hint = refused.some(({ reason }) => reason === "forbidden_address")
    ? "; ranges are allowed by EGRESS_ALLOW_CIDRS"
    : "";
  return `\nThe allow-list (EGRESS_HOSTS) ended or refused connections to ${shown}${hint}.`;
}

/** Whether a host of the list could not be connected to: the site's fault, for what is not on the list is refused before. */
export function isSiteFault(counts: readonly ConnectionCount[]): boolean {
  return counts.some(({ reason }) => reason !== null && siteFaults.has(reason));
}

const siteFaults: ReadonlySet<EgressReason> = new Set(["unresolved", "unreachable", "forbidden_address"]);

function gitHostOf(source: RepoSource | undefined): readonly HostPort[] {
  if (source?.kind !== "https") return [];
  const url = new URL(source.url);
  const found = parseHostPort(url.hostname, url.port === "" ? HTTPS : Number(url.port));
  return found === undefined ? [] : [found];
}

/** Each line is allowed to fail: an image need not have them all. Nothing is left behind, for the sandbox becomes an image. */
const script = `
home=$(mktemp -d) && trap 'rm -rf "$home"' EXIT && export HOME="$home" XDG_CACHE_HOME="$home"
{
  python3 -c '
from pip._internal.models.index import PyPI
print(PyPI.simple_url, "https://" + PyPI.file_storage_domain)
from pip._internal.configuration import Configuration
configuration = Configuration(isolated=False)
configuration.load()
print(*configuration.items())'
  npm config get registry
  go env GOPROXY
  go env GOSUMDB | sed -n '/^off/!s#^\\([^ ]*\\).*#https://\\1#p'
  ruby -e 'puts Gem.sources.to_a' | sed -n 'p; s#^https://#https://index.#p'
  apt-get update --print-uris
} 2>/dev/null
exit 0`;

const question = {
  argv: ["bash", "-c", script],
  user: "agent",
  cwd: "/",
  env: { PATH, LANG: "C.UTF-8" },
  timeoutMs: 60_000,
  outputBytesMax: 64 * 1024,
  floodBytesMax: 1024 ** 2,
} as const;

const IMAGE_HOSTS_MAX = 50;

/** The hosts of all URLs in a text. */
export function hostsIn(text: string): readonly HostPort[] {
  const found = new Map<string, HostPort>();
  for (const [, scheme, authority = ""] of text.matchAll(/\b(https?):\/\/([^\s/'",|]+)/g)) {
    const host = parseHostPort(authority, scheme === "http" ? 80 : HTTPS);
    if (host !== undefined && found.size < IMAGE_HOSTS_MAX) found.set(`${host.host}:${host.port}`, host);
  }
  return [...found.values()];
}
