/** The validator set of VALIDATOR_HOTKEYS: fixed at start; no chain is asked. */
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { PublicKeyHex } from "../../kernel/ids.ts";
import type { ValidatorSet, ValidatorSnapshot } from "../port.ts";
import { parseHotkey } from "../ss58.ts";

const SOURCE = "VALIDATOR_HOTKEYS";

/** @throws AppError `invalid_config` naming the entry that is malformed or stands there twice, or an empty list */
export function createFixedValidatorSet(hotkeys: readonly string[], clock: Clock): ValidatorSet {
  const keys = new Set<PublicKeyHex>();
  for (const [index, text] of hotkeys.entries()) {
    const shown = `${SOURCE}: entry ${index + 1}, ${JSON.stringify(text.slice(0, 80))},`;
    const parsed = parseHotkey(text);
    if (parsed === undefined) {
      throw new AppError(
        "invalid_config",
        `${shown} is not an SS58 hotkey with prefix 42 (47 or 48 characters, begins with 5)`,
      );
    }
    if (keys.has(parsed.publicKey)) throw new AppError("invalid_config", `${shown} stands there twice; remove one`);
    keys.add(parsed.publicKey);
  }
  if (keys.size === 0) throw new AppError("invalid_config", `${SOURCE} is empty; name at least one hotkey`);
  const snapshot: ValidatorSnapshot = { keys, readAtMs: clock.now(), source: SOURCE };
  return {
    current: () => snapshot,
    refresh: async () => snapshot,
    start: () => undefined,
    failure: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
}
