/** Rounds, back-off, failover and doubt, on readers that say what the test wants. */
import { describe, expect, it } from "vitest";
import type { ChainReader } from "../../../src/admission/bittensor/chain-reader.ts";
import type { Neuron } from "../../../src/admission/bittensor/eligible.ts";
import { type ChainReport, createBittensorValidatorSet } from "../../../src/admission/bittensor/validator-set.ts";
import type { PublicKeyHex } from "../../../src/kernel/ids.ts";
import { ManualClock, someKeys } from "../support/kit.ts";

const keys = someKeys(8);
type Say = () => readonly PublicKeyHex[];
const down: Say = () => {
  throw new Error("the connection failed");
};
const list =
  (count: number, from = 0): Say =>
  () =>
    keys.slice(from, from + count);

function setOf(first: Say, second?: Say, change: object = {}) {
  const say: Record<string, Say> = { "ws://one": first, ...(second === undefined ? {} : { "ws://two": second }) };
  const asked: string[] = [];
  const reports: ChainReport[] = [];
  const clock = new ManualClock(undefined, true);
  const reader = (url: string): ChainReader => ({
    url,
    readNeurons: async (): Promise<readonly Neuron[]> => {
      asked.push(url);
      const known = say[url] ?? down;
      return known().map((publicKey) => ({ publicKey, hasPermit: true, isActive: true, stakeRao: 10n ** 18n }));
    },
    [Symbol.asyncDispose]: async () => undefined,
  });
  const set = createBittensorValidatorSet({
    ...{ urls: Object.keys(say), netuid: 1, minStakeTao: 1, refreshMs: 1_000, clock, reader, random: () => 0.5 },
    report: (report) => reports.push(report),
    ...change,
  });
  return { set, say, asked, reports, clock };
}

describe("one refresh", () => {
  it("asks the endpoints in order, and no further than the first that answers", async () => {
    const { set, asked } = setOf(list(3), list(3));
    expect((await set.refresh()).source).toBe("one");
    expect(asked).toEqual(["ws://one"]);
  });

  it("goes on to the next when one fails", async () => {
    const { set, asked, reports } = setOf(down, list(3));
    expect((await set.refresh()).source).toBe("two");
    expect(asked).toEqual(["ws://one", "ws://two"]);
    expect(reports.map(({ level }) => level)).toEqual(["warn", "info"]);
  });

  it("makes three rounds with doubled pauses, then fails, naming each endpoint once", async () => {
    const { set, asked, clock } = setOf(down, down);
    await expect(set.refresh()).rejects.toMatchObject({
      code: "chain_unavailable",
      message: "no endpoint told the validators of netuid 1: one: the connection failed; two: the connection failed",
    });
    expect(asked).toHaveLength(6);
    expect(clock.sleeps).toEqual([1_000, 2_000]);
    expect(set.current()).toBeUndefined();
    expect(set.failure()?.reason).toContain("netuid 1");
  });

  it.each([
    { random: 0, sleeps: [500, 1_000] },
    { random: 0.999, sleeps: [1_499, 2_998] },
  ])("spreads its pauses: $sleeps", async ({ random, sleeps }) => {
    const { set, clock } = setOf(down, undefined, { random: () => random });
    await expect(set.refresh()).rejects.toThrow();
    expect(clock.sleeps.map(Math.floor)).toEqual(sleeps);
  });

  it("is shared by all who ask at the same time, and by none who ask later", async () => {
    const { set, asked } = setOf(list(3));
    const [a, b] = await Promise.all([set.refresh(), set.refresh()]);
    expect(a).toBe(b);
    expect(asked).toHaveLength(1);
    await set.refresh();
    expect(asked).toHaveLength(2);
  });

  it("ends one's own waiting by one's own signal, and nobody else's", async () => {
    const { set } = setOf(list(3));
    const mine = set.refresh(AbortSignal.abort(new Error("enough")));
    const theirs = set.refresh();
    await expect(mine).rejects.toThrow("enough");
    expect((await theirs).keys.size).toBe(3);
  });
});

describe("C05 the last good set", () => {
  it("stays when every endpoint fails, and the failure's age is told until it is over", async () => {
    const { set, say, clock } = setOf(list(4));
    const good = await set.refresh();
    say["ws://one"] = down;
    await expect(set.refresh()).rejects.toThrow();
    expect(set.current()).toBe(good);
    clock.advance(5_000);
    expect(set.failure()?.sinceMs).toBe(5_000);
    say["ws://one"] = list(4);
    await set.refresh();
    expect(set.failure()).toBeUndefined();
  });

  it.each([0, 1, 2])("stays when the only endpoint lists %i of 4, with an alarm", async (count) => {
    const { set, say, reports } = setOf(list(4));
    const good = await set.refresh();
    say["ws://one"] = list(count);
    await expect(set.refresh()).rejects.toThrow(`lists ${count} validators where 4 were`);
    expect(set.current()).toBe(good);
    expect(reports.at(-1)?.level).toBe("error");
  });

  it("is replaced by what a second endpoint says when the first one's answer is suspicious", async () => {
    const { set, say } = setOf(list(4), list(5));
    await set.refresh();
    say["ws://one"] = list(1);
    expect(await set.refresh()).toMatchObject({ source: "two", keys: new Set(keys.slice(0, 5)) });
  });

  it("is replaced when a second endpoint confirms, not when it says something else as strange", async () => {
    const { set, say } = setOf(list(4), list(1));
    await set.refresh();
    say["ws://one"] = list(1, 1);
    await expect(set.refresh()).rejects.toThrow("lists 1 validators");
    say["ws://one"] = list(1);
    expect((await set.refresh()).keys.size).toBe(1);
  });

  it("is replaced when the answer stays so for long, and never by an empty one", async () => {
    const { set, say, clock } = setOf(list(4), undefined, { shrink: { confirmCount: 3, confirmMs: 60_000 } });
    await set.refresh();
    say["ws://one"] = list(1);
    for (let count = 0; count < 2; count++) {
      await expect(set.refresh()).rejects.toThrow();
      clock.advance(40_000);
    }
    expect((await set.refresh()).keys.size).toBe(1);
    say["ws://one"] = list(0);
    for (let count = 0; count < 10; count++) {
      await expect(set.refresh()).rejects.toThrow();
      clock.advance(40_000);
    }
    expect(set.current()?.keys.size).toBe(1);
  });

  it("is not asked for where there was none: an empty first answer is a failure that says what to check", async () => {
    const { set } = setOf(list(0));
    await expect(set.refresh()).rejects.toThrow(/BITTENSOR_NETUID and MIN_VALIDATOR_STAKE_TAO/);
    expect(set.current()).toBeUndefined();
  });
});

describe("configuration", () => {
  it.each([
    { urls: ["https://x"], why: "not a WebSocket" },
    { urls: ["x"], why: "no URL" },
    { urls: [], why: "nothing" },
  ])("SUBTENSOR_URLS that is $why stops the start", ({ urls }) => {
    expect(() => setOf(down, undefined, { urls })).toThrow(/SUBTENSOR_URLS/);
  });

  it("ends its loop when disposed while it waits", async () => {
    const { set } = setOf(down, undefined, { clock: new ManualClock(), rounds: 1 });
    set.start();
    await set[Symbol.asyncDispose]();
    await expect(set.refresh()).rejects.toThrow();
  });
});
