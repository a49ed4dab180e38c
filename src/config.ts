/**
 * Configuration: flags > environment > file > default, into one frozen object. Each value knows where it came from. A
 * malformed value, or an unknown key in the file, stops the start with one line that names the key, the value and the limit.
 */
import { accessSync, constants, readFileSync } from "node:fs";
import { resolve } from "node:path";
import * as v from "valibot";
import { AppError } from "./kernel/errors.ts";

const integer = (min: number, max: number) =>
  v.pipe(
    v.union([
      v.number(),
      v.pipe(v.string(), v.trim(), v.regex(/^[+-]?\d+$/, "is not a whole number"), v.transform(Number)),
    ]),
    v.integer("is not a whole number"),
    v.minValue(min, `is below the minimum ${min}`),
    v.maxValue(max, `is above the maximum ${max}`),
  );
const decimal = (message: string, inRange: (n: number) => boolean) =>
  v.pipe(
    v.union([
      v.number(),
      v.pipe(v.string(), v.trim(), v.regex(/^[+-]?(\d+\.?\d*|\.\d+)$/, "is not a number"), v.transform(Number)),
    ]),
    v.check((n) => Number.isFinite(n) && inRange(n), message),
  );
const text = (maxChars = 4_096) =>
  v.pipe(v.string(), v.trim(), v.maxLength(maxChars, `is longer than ${maxChars} characters`));
const list = v.pipe(
  text(65_536),
  v.transform((s) =>
    s
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  ),
);
const oneOf = <const T extends readonly string[]>(values: T) =>
  v.picklist(values, `is not one of ${values.join(", ")}`);
const secs = (min: number, max: number) => integer(min, max);

const SECONDS_A_WEEK = 604_800;

interface Setting {
  // biome-ignore lint/suspicious/noExplicitAny: each entry has its own schema type; Config restores it
  readonly schema: v.GenericSchema<any, any>;
  readonly fallback: string | number;
  readonly help: string;
  readonly secret?: boolean;
}

/** One entry a key: schema, default, and the line of the configuration table in the README. */
export const settings = {
  PORT: { schema: integer(0, 65_535), fallback: 8080, help: "TCP port of the HTTP server; 0 lets the system choose" },
  HOST: { schema: text(255), fallback: "0.0.0.0", help: "address the HTTP server listens on" },
  SESSION_TTL_SECS: {
    schema: secs(1, SECONDS_A_WEEK),
    fallback: 7_200,
    help: "a batch without progress for this long is ended",
  },
  MAX_CONCURRENT_TASKS: { schema: integer(1, 512), fallback: 8, help: "tasks that run at once, over all batches" },
  MAX_ACTIVE_BATCHES: { schema: integer(1, 1_000), fallback: 4, help: "batches that run at once" },
  MAX_QUEUED_TASKS: {
    schema: integer(1, 1_000_000),
    fallback: 10_000,
    help: "waiting tasks; above that a quorum is answered `busy`",
  },
  CLONE_TIMEOUT_SECS: { schema: secs(1, 86_400), fallback: 180, help: "time for fetching a repository" },
  INSTALL_TIMEOUT_SECS: { schema: secs(1, 86_400), fallback: 600, help: "time for all install commands of a task" },
  AGENT_TIMEOUT_SECS: { schema: secs(1, 86_400), fallback: 600, help: "time for the agent" },
  TEST_TIMEOUT_SECS: { schema: secs(1, 86_400), fallback: 300, help: "time for each judging command" },
  MAX_ARCHIVE_BYTES: { schema: integer(1, 16 * 1024 ** 3), fallback: 524_288_000, help: "largest upload" },
  MAX_OUTPUT_BYTES: {
    schema: integer(64, 64 * 1024 ** 2),
    fallback: 1_048_576,
    help: "captured output kept of each command",
  },
  MAX_FLOOD_BYTES: {
    schema: integer(1_024, 1024 ** 4),
    fallback: 1_073_741_824,
    help: "printed bytes after which a command is ended",
  },
  TASK_MEMORY_MB: { schema: integer(64, 1_048_576), fallback: 2_048, help: "memory of a sandbox, no swap" },
  TASK_CPUS: {
    schema: decimal("is not in 0.1..256", (n) => n >= 0.1 && n <= 256),
    fallback: 1,
    help: "processor share of a sandbox",
  },
  TASK_PIDS: { schema: integer(16, 65_536), fallback: 256, help: "processes and threads in a sandbox" },
  TASK_DISK_MB: { schema: integer(16, 1_048_576), fallback: 1_024, help: "size of a sandbox's workspace" },
  WORKSPACE_BASE: { schema: text(), fallback: "/tmp/sessions", help: "folder where uploads are received" },
  DATA_DIR: {
    schema: text(),
    fallback: ".proctor/data",
    help: "folder of the embedded store, kept files and the server's key",
  },
  DATABASE_URL: { schema: text(), fallback: "", help: "PostgreSQL server; empty: the embedded store" },
  BITTENSOR_NETUID: { schema: integer(0, 65_535), fallback: 100, help: "subnet whose validators may submit" },
  SUBTENSOR_URLS: {
    schema: list,
    fallback: "wss://entrypoint-finney.opentensor.ai:443",
    help: "chain endpoints, tried in order",
  },
  VALIDATOR_HOTKEYS: { schema: list, fallback: "", help: "a fixed validator set; the chain is not asked" },
  MIN_VALIDATOR_STAKE_TAO: {
    schema: decimal("is not ≥ 0", (n) => n >= 0 && n <= 1e9),
    fallback: 10_000,
    help: "least stake of a validator",
  },
  VALIDATOR_REFRESH_SECS: { schema: secs(1, 86_400), fallback: 300, help: "how often the validator set is read again" },
  CONSENSUS_THRESHOLD: {
    schema: decimal("is outside (0, 1]", (n) => n > 0 && n <= 1),
    fallback: 0.5,
    help: "share of the validator set that makes a quorum",
  },
  CONSENSUS_MIN_VOTES: {
    schema: integer(1, 65_536),
    fallback: 1,
    help: "least votes that make a quorum, whatever the share",
  },
  CONSENSUS_TTL_SECS: { schema: secs(1, SECONDS_A_WEEK), fallback: 60, help: "life of a ballot after its first vote" },
  MAX_PENDING_CONSENSUS: { schema: integer(1, 100_000), fallback: 100, help: "open ballots" },
  SIGNATURE_MIN_VERSION: { schema: integer(1, 2), fallback: 1, help: "2 refuses signatures of version 1" },
  REPO_URL_TEMPLATE: {
    schema: text(),
    fallback: "https://github.com/{owner}/{name}.git",
    help: "how `owner/name` becomes a clone URL",
  },
  REPO_HOSTS: { schema: list, fallback: "github.com", help: "hosts that a task's https URL may name" },
  NETWORK_INSTALL: {
    schema: oneOf(["allow-list", "open"]),
    fallback: "open",
    help: "what clone and install may connect to: REPO_HOSTS and EGRESS_HOSTS through a proxy of ours, or anything",
  },
  EGRESS_HOSTS: {
    schema: list,
    fallback: "image",
    help: "hosts (`host` or `host:port`) that install may connect to; the word `image`: the registries that the sandbox image's package managers are set to",
  },
  EGRESS_ALLOW_CIDRS: {
    schema: list,
    fallback: "",
    help: "private or reserved ranges that git hosts and registries may resolve to",
  },
  EXTRA_CA_FILE: {
    schema: text(),
    fallback: "",
    help: "certificate bundle that clone and install trust besides the image's own",
  },
  SANDBOX_IMAGE: { schema: text(255), fallback: "proctor/sandbox:latest", help: "image that sandboxes start from" },
  ENVIRONMENTS_MAX: {
    schema: integer(1, 10_000),
    fallback: 50,
    help: "prepared environments kept on the engine; the least recently used go first",
  },
  AGENTS_MAX: {
    schema: integer(1, 10_000),
    fallback: 50,
    help: "prepared agents kept on the engine; the least recently used go first",
  },
  SANITY_CHECK: {
    schema: oneOf(["off", "required"]),
    fallback: "off",
    help: "`required`: nobody is judged by a task before it was shown sound: its tests fail on the base, and pass with the reference patch",
  },
  GRADING: {
    schema: oneOf(["clean", "fresh"]),
    fallback: "clean",
    help: "where tests run: in the task's sandbox, emptied and built again, or in a second one",
  },
  GRADING_POLICY: {
    schema: oneOf(["all_pass.v1", "f2p_p2p.v1", "weighted.v1"]),
    fallback: "all_pass.v1",
    help: "how judging commands become a reward: all must pass, only those named fail_to_pass or pass_to_pass, or a share",
  },
  SANDBOX_PROFILE: {
    schema: oneOf(["strict", "paranoid"]),
    fallback: "strict",
    help: "profile of agents and tests; `paranoid` has fewer system calls and no sockets, not even to localhost",
  },
  SANDBOX_LIMITS: {
    schema: oneOf(["small", "standard", "large"]),
    fallback: "standard",
    help: "limits of a sandbox by name, see sandbox-profiles; the four TASK_ settings win where they are set",
  },
  SANDBOX_RUNTIME: { schema: text(64), fallback: "", help: "OCI runtime by name; empty: the engine's default" },
  DOCKER_HOST: { schema: text(), fallback: "", help: "engine endpoint; empty: /var/run/docker.sock" },
  READ_AUTH: { schema: oneOf(["open", "required"]), fallback: "open", help: "`required`: every read needs a token" },
  READ_TOKEN: { schema: text(512), fallback: "", help: "bearer token of readers", secret: true },
  ADMIN_TOKEN: { schema: text(512), fallback: "", help: "bearer token of administrators", secret: true },
  PUBLIC_OUTPUTS: {
    schema: oneOf(["full", "summary", "none"]),
    fallback: "full",
    help: "what unauthenticated readers see of outputs",
  },
  TRUSTED_PROXIES: { schema: list, fallback: "", help: "addresses whose X-Forwarded-For is believed" },
  UPLOAD_TIMEOUT_SECS: { schema: secs(1, 86_400), fallback: 600, help: "time for one whole upload" },
  UPLOAD_IDLE_SECS: { schema: secs(1, 3_600), fallback: 20, help: "time an upload may send nothing" },
  MAX_UPLOADS: { schema: integer(1, 1_000), fallback: 16, help: "uploads that are received at once" },
  DRAIN_TIMEOUT_SECS: {
    schema: secs(0, 86_400),
    fallback: 30,
    help: "time for running tasks after SIGTERM; then they are handed back",
  },
  LOG_LEVEL: {
    schema: oneOf(["trace", "debug", "info", "warn", "error", "silent"]),
    fallback: "info",
    help: "least level that is logged",
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settings;
export type Source = "flag" | "environment" | "file" | "default";

export type Config = { readonly [K in SettingName]: v.InferOutput<(typeof settings)[K]["schema"]> } & {
  /** where each value came from */
  readonly sources: Readonly<Record<SettingName, Source>>;
};

export interface ConfigInput {
  readonly flags?: Readonly<Record<string, string | undefined>>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** path of a JSON file: an object from the keys of `settings` to strings or numbers */
  readonly file?: string;
}

/** @throws AppError `invalid_config` naming the key, the value, its limit and its source */
export function loadConfig(input: ConfigInput): Config {
  const file = input.file === undefined || input.file === "" ? {} : readConfigFile(input.file);
  const values: Record<string, unknown> = {};
  const sources = {} as Record<SettingName, Source>;
  for (const name of Object.keys(settings) as SettingName[]) {
    const candidates: readonly [Source, unknown][] = [
      ["flag", input.flags?.[name]],
      ["environment", input.environment?.[name]],
      ["file", file[name]],
    ];
    // An empty variable means "not set": that is how compose files and shells leave a value out.
    const [source, raw] = candidates.find(([, value]) => value !== undefined && value !== "") ?? [
      "default",
      settings[name].fallback,
    ];
    values[name] = parseSetting(name, raw, source);
    sources[name] = source;
  }
  checkTogether(values as unknown as Config);
  return Object.freeze({ ...values, sources: Object.freeze(sources) }) as unknown as Config;
}

function parseSetting(name: SettingName, raw: unknown, source: Source): unknown {
  const result = v.safeParse(settings[name].schema, raw);
  if (result.success) return result.output;
  const shown = "secret" in settings[name] ? "(secret)" : JSON.stringify(raw)?.slice(0, 80);
  const why = result.issues[0]?.message ?? "is malformed";
  const issue = /^is /.test(why) ? why : "is malformed";
  throw new AppError("invalid_config", `${name}=${shown} (from ${source}) ${issue}: ${settings[name].help}`);
}

function readConfigFile(path: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(resolve(path), "utf8"));
  } catch (cause) {
    throw new AppError(
      "invalid_config",
      `configuration file ${path} can't be read as JSON: ${(cause as Error).message}`,
      { cause },
    );
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new AppError("invalid_config", `configuration file ${path} must hold one JSON object`);
  }
  for (const key of Object.keys(parsed)) {
    if (!Object.hasOwn(settings, key)) {
      throw new AppError(
        "invalid_config",
        `configuration file ${path}: unknown key ${JSON.stringify(key.slice(0, 80))}; see the table in the README`,
      );
    }
  }
  return parsed as Record<string, unknown>;
}

function checkTogether(config: Config): void {
  if (config.READ_AUTH === "required" && config.READ_TOKEN === "" && config.ADMIN_TOKEN === "") {
    throw new AppError("invalid_config", "READ_AUTH=required needs READ_TOKEN or ADMIN_TOKEN to be set");
  }
  if (config.EXTRA_CA_FILE !== "" && !isReadable(config.EXTRA_CA_FILE)) {
    throw new AppError(
      "invalid_config",
      `EXTRA_CA_FILE=${JSON.stringify(config.EXTRA_CA_FILE)} is no file that can be read`,
    );
  }
  if (config.DATABASE_URL !== "" && !/^postgres(ql)?:\/\//.test(config.DATABASE_URL)) {
    throw new AppError("invalid_config", "DATABASE_URL must begin with postgres:// or postgresql://");
  }
  if (!/^(https|file):\/\//.test(config.REPO_URL_TEMPLATE) || !config.REPO_URL_TEMPLATE.includes("{name}")) {
    throw new AppError(
      "invalid_config",
      `REPO_URL_TEMPLATE=${JSON.stringify(config.REPO_URL_TEMPLATE)} must begin with https:// or file:/// and hold {owner} and {name}`,
    );
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
