/** The validator set against a real subtensor runtime, on loopback. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createChainReader } from "../../../src/admission/bittensor/chain-reader.ts";
import { type ChainReport, createBittensorValidatorSet } from "../../../src/admission/bittensor/validator-set.ts";
import { systemClock } from "../../../src/kernel/clock.ts";
import { startChain, startImpostor, type TestChain, type TestNeuron, whyNoChain } from "../support/chain.ts";
import { ManualClock, someKeys } from "../support/kit.ts";

const netuid = 100;
const minStakeTao = 10_000;
const minStakeRao = 10_000n * 10n ** 9n;
const [eligible, poor, unpermitted, inactive, second] = someKeys(5);
if (!eligible || !poor || !unpermitted || !inactive || !second) throw new Error("no keys");
const neuron = (publicKey: typeof eligible, change: Partial<TestNeuron> = {}): TestNeuron => ({
  ...{ publicKey, hasPermit: true, isActive: true, stakeRao: minStakeRao },
  ...change,
});
const four = [
  neuron(eligible),
  neuron(poor, { stakeRao: minStakeRao - 1n }),
  neuron(unpermitted, { hasPermit: false, stakeRao: minStakeRao * 9n }),
  neuron(inactive, { isActive: false, stakeRao: minStakeRao * 9n }),
];

describe.skipIf(whyNoChain !== undefined)(
  `the chain (skipped where ${whyNoChain ?? "the chain file is absent"})`,
  () => {
    let chain: TestChain;
    let printed: ReturnType<typeof vi.spyOn>[];
    const reports: ChainReport[] = [];

    beforeAll(async () => {
      chain = await startChain();
      printed = (["log", "warn", "error", "info", "debug"] as const).map((method) => vi.spyOn(console, method));
    });
    afterAll(async () => {
      await chain[Symbol.asyncDispose]();
      vi.restoreAllMocks();
    });

    const setOf = (urls: readonly string[], change: object = {}) => {
      reports.length = 0;
      return createBittensorValidatorSet({
        ...{ urls, netuid, minStakeTao, refreshMs: 300_000, clock: systemClock, backOffMs: 20, readTimeoutMs: 10_000 },
        report: (report) => reports.push(report),
        ...change,
      });
    };

    it("lists the one that is eligible: not the one under the stake, without permit, or inactive", async () => {
      await chain.setNeurons(netuid, four);
      await using set = setOf([chain.url]);
      expect(set.current()).toBeUndefined();
      const snapshot = await set.refresh();
      expect([...snapshot.keys]).toEqual([eligible]);
      expect(snapshot.source).toBe(new URL(chain.url).host);
      expect(set.current()).toBe(snapshot);
      expect(set.failure()).toBeUndefined();
    });

    it("sees what later blocks say, over one kept api", async () => {
      await chain.setNeurons(netuid, four);
      await using set = setOf([chain.url]);
      await set.refresh();
      await chain.setNeurons(netuid, [...four, neuron(second)]);
      expect((await set.refresh()).keys).toEqual(new Set([eligible, second]));
      await chain.setNeurons(netuid, [neuron(eligible), neuron(poor), neuron(unpermitted)]);
      expect((await set.refresh()).keys).toEqual(new Set([eligible, poor, unpermitted]));
    });

    it("says what to check where nobody is eligible", async () => {
      await using set = setOf([chain.url], { netuid: 77, rounds: 1 });
      await expect(set.refresh()).rejects.toThrow(/netuid 77.*BITTENSOR_NETUID and MIN_VALIDATOR_STAKE_TAO/);
      expect(set.current()).toBeUndefined();
    });

    it("C05: keeps the last good set when the chain answers empty or half a list, with an alarm", async () => {
      const all = someKeys(4).map((key) => neuron(key));
      await chain.setNeurons(netuid, all);
      await using set = setOf([chain.url]);
      const good = await set.refresh();
      for (const left of [2, 0]) {
        await chain.setNeurons(
          netuid,
          all.map((each, index) => ({ ...each, hasPermit: index < left })),
        );
        await expect(set.refresh()).rejects.toMatchObject({ code: "chain_unavailable" });
        expect(set.current()).toBe(good);
        expect(reports.at(-1)).toMatchObject({
          level: "error",
          message: expect.stringContaining(`lists ${left} validators where 4 were`),
        });
      }
    });

    it("F10: an endpoint that hangs is left for the next one at its deadline", async () => {
      await using hanging = await startImpostor(() => undefined);
      await chain.setNeurons(netuid, four);
      await using set = setOf([hanging.url, chain.url], { readTimeoutMs: 3_000 });
      const startedMs = performance.now();
      expect([...(await set.refresh()).keys]).toEqual([eligible]);
      expect(performance.now() - startedMs).toBeLessThan(15_000);
      expect(reports[0]).toMatchObject({ level: "warn", message: "endpoint failed: no answer in 3000 ms" });
    });

    it("endpoint down: the last good set stays; endpoint back: it is read again, from the same url", async () => {
      const own = await startChain();
      await own.setNeurons(netuid, four);
      await using set = setOf([own.url]);
      const good = await set.refresh();
      await own[Symbol.asyncDispose]();
      await expect(set.refresh()).rejects.toMatchObject({ code: "chain_unavailable" });
      expect(set.current()).toBe(good);
      expect(set.failure()?.reason).toContain("connection");
      await using back = await startChain(own.port);
      await back.setNeurons(netuid, [neuron(eligible), neuron(second)]);
      expect((await set.refresh()).keys).toEqual(new Set([eligible, second]));
      expect(set.failure()).toBeUndefined();
    });

    it("is refreshed on its timer, and ends with nothing left running", async () => {
      await chain.setNeurons(netuid, four);
      const clock = new ManualClock();
      const seen = Promise.withResolvers<void>();
      const set = setOf([chain.url], { clock, report: (report: ChainReport) => report.count === 2 && seen.resolve() });
      set.start();
      await set.refresh();
      await chain.setNeurons(netuid, [...four, neuron(second)]);
      await vi.waitFor(() => expect(clock.sleeps.length).toBe(1));
      clock.advance(330_000);
      await seen.promise;
      expect(set.current()?.keys).toEqual(new Set([eligible, second]));
      await set[Symbol.asyncDispose]();
    });

    it("reads in a handful of calls at one block, the metadata only once", async () => {
      await chain.setNeurons(netuid, four);
      const methods: string[] = [];
      await using recorder = await startImpostor((socket, message) => {
        const { method, id } = JSON.parse(message) as { readonly method: string; readonly id: number };
        methods.push(method);
        const upstream = new WebSocket(chain.url);
        upstream.addEventListener("open", () => upstream.send(message));
        upstream.addEventListener("message", ({ data }) => {
          if ((JSON.parse(String(data)) as { readonly id: number }).id === id) socket.send(String(data));
          upstream.close();
        });
      });
      const reader = createChainReader(recorder.url, () => undefined);
      const first = await reader.readNeurons(netuid, AbortSignal.timeout(20_000));
      methods.length = 0;
      expect(await reader.readNeurons(netuid, AbortSignal.timeout(20_000))).toEqual(first);
      expect(methods.length).toBeLessThanOrEqual(8);
      expect(methods).not.toContain("state_getMetadata");
      await reader[Symbol.asyncDispose]();
    });

    it("prints nothing to the console", () => {
      for (const spy of printed) expect(spy).not.toHaveBeenCalled();
    });
  },
);
