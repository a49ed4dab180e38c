/** Three validators' keys for this machine alone, made once and kept under `.proctor/keys`. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { createKeyFile, readSigner } from "../admission/keys.ts";
import { paths } from "./paths.ts";

const VALIDATOR_COUNT = 3;

export interface DevelopmentKey {
  readonly file: string;
  readonly hotkey: string;
}

export async function ensureDevelopmentKeys(): Promise<readonly DevelopmentKey[]> {
  mkdirSync(paths.keys, { recursive: true, mode: 0o700 });
  const keys: DevelopmentKey[] = [];
  for (let number = 1; number <= VALIDATOR_COUNT; number++) {
    const file = join(paths.keys, `validator-${number}.json`);
    const { hotkey } = existsSync(file) ? await readSigner(file) : await createKeyFile(file);
    keys.push({ file, hotkey });
  }
  return keys;
}
