/**
 * Profiles: named sets of limits, read from sandbox-profiles/*.json. No field that carries security is optional, and an
 * unknown one is refused: a misspelt limit must stop the start, not silently fall back to the engine's default.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { AppError } from "../kernel/errors.ts";
import type { SandboxSpec } from "./port.ts";
import { seccompSchema } from "./seccomp/schema.ts";

const FOLDER = join(import.meta.dirname, "../../sandbox-profiles");
const GIB = 1024 ** 3;

const count = (max: number) => v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(max));
const positive = (max: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(max));

const tmpfs = v.strictObject({
  path: v.pipe(v.string(), v.regex(/^(\/[a-z]+)+$/)),
  /** bytes, or `disk`: the spec's diskBytes */
  size: v.union([v.literal("disk"), positive(64 * GIB)]),
  mode: v.pipe(v.string(), v.regex(/^[01][0-7]{3}$/)),
  exec: v.boolean(),
  inodes: positive(10_000_000),
});

/** Paths of the kernel's file systems; `needed` can't be left out. */
const paths = (...needed: readonly string[]) =>
  v.pipe(
    v.array(v.pipe(v.string(), v.regex(/^\/(proc|sys)\/[a-z_/-]+$/))),
    v.check((list) => needed.every((path) => list.includes(path)), `must name ${needed.join(", ")}`),
  );

const profile = v.strictObject({
  name: v.picklist(["strict", "build", "paranoid"]),
  users: v.pipe(v.array(v.picklist(["root", "agent", "tests"])), v.minLength(1)),
  networks: v.pipe(v.array(v.picklist(["none", "allow-list", "open"])), v.minLength(1)),
  readOnlyRoot: v.boolean(),
  /** what is added to an empty set; the supervisor itself needs SETUID, SETGID, SETPCAP and KILL */
  capabilities: v.array(v.pipe(v.string(), v.regex(/^[A-Z_]+$/))),
  noNewPrivileges: v.literal(true),
  /** file of the filter beside this one; what it may say is seccomp/schema.ts */
  seccomp: v.picklist(["seccomp/strict.json", "seccomp/build.json", "seccomp/paranoid.json"]),
  ipc: v.literal("private"),
  cgroupNamespace: v.literal("private"),
  oomScoreAdj: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(999)),
  shmBytes: positive(GIB),
  tmpfs: v.array(tmpfs),
  ulimits: v.strictObject({
    core: count(0),
    nofile: positive(1_048_576),
    memlock: count(GIB),
    msgqueue: count(GIB),
  }),
  /** hidden behind something empty; one that the kernel does not have is passed over */
  maskedPaths: paths("/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"),
  readOnlyPaths: paths("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"),
  watchDisk: v.boolean(),
});

/** A profile as written; its filter is only named. */
export type ProfileFile = v.InferOutput<typeof profile>;

export interface Profile extends ProfileFile {
  /** the filter as the engine takes it: one line of JSON, checked against seccomp/schema.ts */
  readonly seccompJson: string;
}

export type ProfileName = SandboxSpec["profile"];

const SUPERVISOR_NEEDS = ["SETUID", "SETGID", "SETPCAP", "KILL"];

/** Parses a profile's JSON text. @throws AppError `invalid_config` naming the file, the field and what is wrong with it */
export function parseProfile(name: ProfileName, text: string): ProfileFile {
  const file = `${name}.json`;
  const parsed = parseFile(file, profile, text);
  if (parsed.name !== name) throw refusal(file, `its name is ${parsed.name}`);
  if (parsed.seccomp !== `seccomp/${name}.json`) throw refusal(file, `seccomp: ${parsed.seccomp} is another profile's`);
  const missing = SUPERVISOR_NEEDS.filter((capability) => !parsed.capabilities.includes(capability));
  if (missing.length > 0) throw refusal(file, `capabilities: the supervisor needs ${missing.join(", ")}`);
  if (name !== "build") refuseLaxness(file, parsed);
  return parsed;
}

/** Parses a filter's JSON text. @returns it as the engine takes it @throws AppError `invalid_config` likewise */
export function parseSeccomp(file: string, text: string): string {
  return JSON.stringify(parseFile(file, seccompSchema, text));
}

function parseFile<T extends v.GenericSchema>(file: string, schema: T, text: string): v.InferOutput<T> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw refusal(file, `not JSON: ${(cause as Error).message}`);
  }
  const result = v.safeParse(schema, json);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw refusal(file, `${v.getDotPath(issue) ?? "root"}: ${issue.message}`);
}

function refusal(file: string, why: string): AppError {
  return new AppError("invalid_config", `sandbox profile ${file}: ${why}`);
}

/** What a profile that untrusted code runs under may never offer, whoever edits the file. */
function refuseLaxness(file: string, parsed: ProfileFile): void {
  if (parsed.users.includes("root")) throw refusal(file, "users: root exists only in build");
  if (!parsed.readOnlyRoot) throw refusal(file, "readOnlyRoot: must be true");
  if (parsed.capabilities.length !== SUPERVISOR_NEEDS.length) {
    throw refusal(file, `capabilities: only ${SUPERVISOR_NEEDS.join(", ")}`);
  }
}

/** Reads all profiles and their filters. @throws AppError `invalid_config` */
export function loadProfiles(): Readonly<Record<ProfileName, Profile>> {
  const read = (file: string) => readFileSync(join(FOLDER, file), "utf8");
  const load = (name: ProfileName): Profile => {
    const parsed = parseProfile(name, read(`${name}.json`));
    return { ...parsed, seccompJson: parseSeccomp(parsed.seccomp, read(parsed.seccomp)) };
  };
  return { strict: load("strict"), build: load("build"), paranoid: load("paranoid") };
}
