import { describe, expect, it } from "vitest";
import { type Neuron, selectEligible, taoToRao } from "../../../src/admission/bittensor/eligible.ts";
import { ShrinkGuard } from "../../../src/admission/bittensor/shrink-guard.ts";
import { someKeys } from "../support/kit.ts";

const keys = someKeys(10);
const [key] = keys;

describe("who is eligible", () => {
  const good: Neuron = { publicKey: key ?? "", hasPermit: true, isActive: true, stakeRao: 100n };
  it.each([
    { why: "permit, active and exactly the stake", neuron: good, is: true },
    { why: "one rao short", neuron: { ...good, stakeRao: 99n }, is: false },
    { why: "no permit", neuron: { ...good, hasPermit: false }, is: false },
    { why: "inactive", neuron: { ...good, isActive: false }, is: false },
    { why: "no key in this place", neuron: { ...good, publicKey: "0".repeat(64) }, is: false },
    { why: "a key that is none", neuron: { ...good, publicKey: "ff" }, is: false },
    { why: "more than a double can hold", neuron: { ...good, stakeRao: 2n ** 64n - 1n }, is: true },
  ])("$why: $is", ({ neuron, is }) => {
    expect(selectEligible([neuron], 100n).size).toBe(is ? 1 : 0);
  });

  it.each([
    { tao: 0, rao: 0n },
    { tao: 10_000, rao: 10_000_000_000_000n },
    { tao: 0.1, rao: 100_000_000n },
    { tao: 0.000000001, rao: 1n },
    { tao: 1e9, rao: 10n ** 18n },
    { tao: 21_000_000.5, rao: 21_000_000_500_000_000n },
  ])("$tao TAO are $rao rao", ({ tao, rao }) => {
    expect(taoToRao(tao)).toBe(rao);
  });
});

describe("C05 answers that shrink", () => {
  const set = (count: number, from = 0) => new Set(keys.slice(from, from + count));

  it.each([
    { last: 10, answer: 0, is: true, why: "nothing left" },
    { last: 10, answer: 5, is: true, why: "half a list" },
    { last: 10, answer: 6, is: false, why: "more than half" },
    { last: 1, answer: 0, is: true, why: "the only one gone" },
    { last: 2, answer: 1, is: true, why: "one of two" },
    { last: 3, answer: 2, is: false, why: "one of three may leave" },
    { last: 0, answer: 0, is: false, why: "nothing was there to keep" },
    { last: 4, answer: 10, is: false, why: "growth is no loss" },
  ])("$last to $answer: suspicious $is ($why)", ({ last, answer, is }) => {
    expect(new ShrinkGuard().isSuspicious(set(last), set(answer))).toBe(is);
  });

  it("the first answer there is is not suspicious", () => {
    expect(new ShrinkGuard().isSuspicious(undefined, set(0))).toBe(false);
  });

  it("are confirmed by staying the same, often and long enough", () => {
    const guard = new ShrinkGuard({ confirmCount: 3, confirmMs: 100 });
    expect([0, 50, 99, 100].map((ms) => guard.confirms(set(2), ms))).toEqual([false, false, false, true]);
    const quick = new ShrinkGuard({ confirmCount: 3, confirmMs: 0 });
    expect([0, 1, 2].map((ms) => quick.confirms(set(2), ms))).toEqual([false, false, true]);
  });

  it("begin anew when they change, or a good answer came between", () => {
    const guard = new ShrinkGuard({ confirmCount: 2, confirmMs: 0 });
    expect(guard.confirms(set(2), 0)).toBe(false);
    expect(guard.confirms(set(2, 3), 1)).toBe(false);
    guard.clear();
    expect(guard.confirms(set(2, 3), 2)).toBe(false);
    expect(guard.confirms(set(2, 3), 3)).toBe(true);
  });

  it("that are empty are never confirmed by patience", () => {
    const guard = new ShrinkGuard({ confirmCount: 1, confirmMs: 0 });
    for (let ms = 0; ms < 50; ms++) expect(guard.confirms(set(0), ms * 1e6)).toBe(false);
  });
});
