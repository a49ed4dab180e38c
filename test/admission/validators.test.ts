import { describe, expect, it } from "vitest";
import { createFixedValidatorSet } from "../../src/admission/validators/fixed.ts";
import { alice, bob, ManualClock } from "./support/kit.ts";

const create = (...hotkeys: string[]) => createFixedValidatorSet(hotkeys, new ManualClock());

describe("VALIDATOR_HOTKEYS", () => {
  it("is the set, at once and for good", async () => {
    await using set = create(alice.hotkey, bob.hotkey);
    set.start();
    expect(set.current()?.keys).toEqual(new Set([alice.publicKey, bob.publicKey]));
    expect(await set.refresh()).toBe(set.current());
    expect(set.failure()).toBeUndefined();
  });

  it.each([
    {
      hotkeys: [alice.hotkey, "5nonsense"],
      says: /VALIDATOR_HOTKEYS: entry 2, "5nonsense", is not an SS58/,
      why: "no key",
    },
    { hotkeys: [`0x${alice.publicKey}`], says: /entry 1.*is not an SS58/, why: "hex" },
    { hotkeys: [alice.hotkey, bob.hotkey, alice.hotkey], says: /entry 3.*stands there twice/, why: "a key twice" },
    { hotkeys: ["x".repeat(10_000)], says: /^.{1,250}$/, why: "very long" },
    { hotkeys: [], says: /VALIDATOR_HOTKEYS is empty/, why: "nothing" },
  ])("with $why stops the start, naming it", ({ hotkeys, says }) => {
    expect(() => create(...hotkeys)).toThrow(says);
  });
});
