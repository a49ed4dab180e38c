/**
 * The way out of a sandbox with an allow-list: our relay inside, the forward proxy here, the supervisor's line between them.
 *
 * The sandbox has no network; there is nothing of the host to close off, and nothing that an engine without bridges, behind
 * TCP or in another mount namespace could fail to give. The relay is a process like any other inside: what ends all of them
 * ends it too, so it is started again before the next command. A sandbox whose relay can't be started is not used.
 */
import { type Clock, systemClock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import { deferred } from "../../kernel/signals.ts";
import { systemResolve } from "../egress/dial.ts";
import { Mux } from "../egress/mux.ts";
import type { EgressPolicy } from "../egress/policy.ts";
import { EgressProxy } from "../egress/proxy.ts";
import { PROGRAMS } from "./container-spec.ts";
import type { SupervisorLink } from "./link.ts";

/** Where clients inside find the proxy. */
const PORT = 3_128;
/** Nobody else runs under it: only root of a build sandbox can end or rewrite the relay, and gains nothing by it. */
const RELAY_UID = 10_003;
const READY_MS = 10_000;
const STDERR_BYTES_MAX = 4_096;

const proxyUrl = `http://127.0.0.1:${PORT}`;
const local = "localhost,127.0.0.1,::1";

/** How programs inside are told: each ecosystem reads one of these. A command's own variables win. */
export const proxyEnvironment: Readonly<Record<string, string>> = {
  HTTP_PROXY: proxyUrl,
  HTTPS_PROXY: proxyUrl,
  ALL_PROXY: proxyUrl,
  NO_PROXY: local,
  http_proxy: proxyUrl,
  https_proxy: proxyUrl,
  all_proxy: proxyUrl,
  no_proxy: local,
  NODE_USE_ENV_PROXY: "1",
};

export class WayOut {
  readonly #link: SupervisorLink;
  readonly #proxy: EgressProxy;
  readonly #clock: Clock;
  /** set while a relay runs */
  #relay: Promise<void> | undefined;

  constructor(link: SupervisorLink, policy: EgressPolicy, clock: Clock = systemClock) {
    this.#link = link;
    this.#clock = clock;
    this.#proxy = new EgressProxy({ policy, clock, resolve: systemResolve });
    void link.dead.then(() => this.#proxy.close());
  }

  /** Resolves when clients inside can connect. @throws AppError `image_missing`, `sandbox_failed` */
  ready(): Promise<void> {
    this.#relay ??= this.#start();
    return this.#relay;
  }

  #start(): Promise<void> {
    const ready = deferred();
    ready.promise.catch(() => {});
    let stderr = "";
    let kill = () => {};
    const mux = new Mux({
      onReady: () => ready.resolve(),
      onConnection: (connection) => this.#proxy.accept(connection),
      onBroken: () => kill(),
    });
    const { id, end } = this.#link.run(
      {
        uid: RELAY_UID,
        gid: RELAY_UID,
        argv: [`${PROGRAMS}/relay`, `${PORT}`],
        env: {},
        cwd: "/",
        hasStdin: true,
        isData: true,
        headBytesMax: Number.MAX_SAFE_INTEGER,
        tailBytesMax: STDERR_BYTES_MAX,
        floodBytesMax: Number.MAX_SAFE_INTEGER,
        fileBytesMax: 1,
        openFilesMax: 1_024,
      },
      {
        onOutput: (stream, bytes) => {
          if (stream === "stdout") mux.push(bytes);
          else stderr += bytes.toString("latin1").replace(/[^ -~]/g, " ");
        },
      },
      mux.toRelay,
    );
    kill = () => this.#link.kill(id);
    const late = new AbortController();
    this.#clock.sleep(READY_MS, late.signal).then(kill, () => {});
    const over = (error: AppError) => {
      late.abort();
      mux.close();
      this.#relay = undefined;
      ready.reject(error);
    };
    end.then(
      ({ report }) => over(notStarted(report.notStarted !== undefined, stderr)),
      (error: unknown) => over(error instanceof AppError ? error : notStarted(false, String(error))),
    );
    void ready.promise.then(() => late.abort()).catch(() => {});
    return ready.promise;
  }
}

function notStarted(isMissing: boolean, stderr: string): AppError {
  if (isMissing) {
    return new AppError(
      "image_missing",
      `the sandbox image has no ${PROGRAMS}/relay, which an allow-list needs; run "npm run setup" to build it again`,
    );
  }
  return new AppError("sandbox_failed", `the relay of the allow-list ended before it was ready: ${stderr.trim()}`);
}
