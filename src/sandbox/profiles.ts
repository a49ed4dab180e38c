/**
 * Profiles: named sets of limits, read from sandbox-profiles/*.json. No field that carries security is optional, and an
 * unknown one is refused: a misspelt limit must stop the start, not silently fall back to the engine's default.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { AppError } from "../kernel/errors.ts";
import type { SandboxSpec } from "./port.ts";

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

const profile = v.strictObject({
  name: v.picklist(["strict", "build"]),
  users: v.pipe(v.array(v.picklist(["root", "agent", "tests"])), v.minLength(1)),
  networks: v.pipe(v.array(v.picklist(["none", "allow-list", "open"])), v.minLength(1)),
  readOnlyRoot: v.boolean(),
  /** what is added to an empty set; the supervisor itself needs SETUID, SETGID, SETPCAP and KILL */
  capabilities: v.array(v.pipe(v.string(), v.regex(/^[A-Z_]+$/))),
  noNewPrivileges: v.literal(true),
  seccomp: v.literal("engine-default"),
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
  watchDisk: v.boolean(),
});

export type Profile = v.InferOutput<typeof profile>;
export type ProfileName = SandboxSpec["profile"];

const SUPERVISOR_NEEDS = ["SETUID", "SETGID", "SETPCAP", "KILL"];

/** Parses a profile's JSON text. @throws AppError `invalid_config` naming the file, the field and what is wrong with it */
export function parseProfile(name: ProfileName, text: string): Profile {
  const refuse = (why: string) => new AppError("invalid_config", `sandbox profile ${name}.json: ${why}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw refuse(`not JSON: ${(cause as Error).message}`);
  }
  const result = v.safeParse(profile, json);
  if (!result.success) {
    const issue = result.issues[0];
    throw refuse(`${v.getDotPath(issue) ?? "root"}: ${issue.message}`);
  }
  const parsed = result.output;
  if (parsed.name !== name) throw refuse(`its name is ${parsed.name}`);
  const missing = SUPERVISOR_NEEDS.filter((capability) => !parsed.capabilities.includes(capability));
  if (missing.length > 0) throw refuse(`capabilities: the supervisor needs ${missing.join(", ")}`);
  if (name === "strict") refuseLaxness(parsed, refuse);
  return parsed;
}

/** What `strict` may never offer, whoever edits the file. */
function refuseLaxness(parsed: Profile, refuse: (why: string) => AppError): void {
  if (parsed.users.includes("root")) throw refuse("users: root does not exist in strict");
  if (!parsed.readOnlyRoot) throw refuse("readOnlyRoot: must be true");
  if (parsed.capabilities.length !== SUPERVISOR_NEEDS.length) {
    throw refuse(`capabilities: only ${SUPERVISOR_NEEDS.join(", ")}`);
  }
}

/** Reads both profiles. @throws AppError `invalid_config` */
export function loadProfiles(): Readonly<Record<ProfileName, Profile>> {
  const load = (name: ProfileName) => parseProfile(name, readFileSync(join(FOLDER, `${name}.json`), "utf8"));
  return { strict: load("strict"), build: load("build") };
}
