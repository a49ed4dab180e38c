/** Named limits: what one sandbox may use, read from sandbox-profiles/limits/*.json. No field is optional. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { AppError } from "../kernel/errors.ts";

const FOLDER = join(import.meta.dirname, "../../sandbox-profiles/limits");

export const limitsNames = ["small", "standard", "large"] as const;
export type LimitsName = (typeof limitsNames)[number];

/** The least of each is 1: to engines 0 means "no limit". */
const whole = (max: number) => v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(max));

const limits = v.strictObject({
  name: v.picklist(limitsNames),
  /** memory without swap, MiB */
  memoryMb: whole(1_048_576),
  /** cores; may be fractional */
  cpus: v.pipe(v.number(), v.minValue(0.1), v.maxValue(256)),
  /** processes and threads */
  pids: whole(65_536),
  /** size of the workspace, MiB */
  diskMb: whole(1_048_576),
  /** descriptors of one process */
  openFiles: whole(1_048_576),
});

export type Limits = v.InferOutput<typeof limits>;

/** Parses limits' JSON text. @throws AppError `invalid_config` naming the file, the field and what is wrong with it */
export function parseLimits(name: LimitsName, text: string): Limits {
  const refuse = (why: string) => new AppError("invalid_config", `sandbox limits ${name}.json: ${why}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw refuse(`not JSON: ${(cause as Error).message}`);
  }
  const result = v.safeParse(limits, json);
  if (!result.success) {
    const issue = result.issues[0];
    throw refuse(`${v.getDotPath(issue) ?? "root"}: ${issue.message}`);
  }
  if (result.output.name !== name) throw refuse(`its name is ${result.output.name}`);
  return result.output;
}

/** Reads the limits of that name. @throws AppError `invalid_config` */
export function loadLimits(name: LimitsName): Limits {
  return parseLimits(name, readFileSync(join(FOLDER, `${name}.json`), "utf8"));
}
