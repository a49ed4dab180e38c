/**
 * Reads a subnet's neurons from one endpoint, all at one finalized block, in few and bounded calls.
 *
 * Stake is `TotalHotkeyAlpha(hotkey, netuid)`: what all coldkeys together have staked on the hotkey in this subnet. That is
 * what `get_neurons` and `get_neurons_lite` of the NeuronInfoRuntimeApi report as a neuron's stake (the runtime's
 * `get_stake_for_hotkey_on_subnet`; in runtimes from before the subnets' own tokens, as in the chain we test on, they still report the
 * `Stake` map, which holds nothing any more, while `get_subnet_state` already reports this one). It is not the stake weight
 * that ranks validators inside the subnet: that adds root stake, weighted, and what is delegated to and from child keys.
 * Storage is read rather than that call because its answer has changed its encoding between runtimes; storage carries its types in the metadata.
 */
import { ApiPromise } from "@polkadot/api";
import { BoundedProvider } from "./bounded-provider.ts";
import type { Neuron } from "./eligible.ts";
import { withQuietConsole } from "./quiet-console.ts";

/** Above the largest subnet by far; an answer beyond it is not one. */
const NEURONS_MAX = 4_096;

/** What the codec types of the answers offer, as far as we use them. */
interface Coded {
  toJSON(): unknown;
  toHex(): string;
}

export interface ChainReader extends AsyncDisposable {
  readonly url: string;
  /** @throws Error saying what is wrong with the endpoint, or the signal's reason */
  readNeurons(netuid: number, signal: AbortSignal): Promise<readonly Neuron[]>;
}

/**
 * @param url ws:// or wss:// endpoint
 * @param onLine takes what the library prints
 */
export function createChainReader(url: string, onLine: (line: string) => void): ChainReader {
  const provider = new BoundedProvider(url);
  let api: ApiPromise | undefined;

  const connect = async (): Promise<ApiPromise> => {
    api ??= new ApiPromise({ provider, noInitWarn: true, throwOnConnect: true });
    return api.isReadyOrError;
  };
  const forget = async (): Promise<void> => {
    const old = api;
    api = undefined;
    await old?.disconnect().catch(() => undefined);
  };
  return {
    url,
    readNeurons: (netuid, signal) =>
      withQuietConsole(onLine, async () => {
        try {
          return await provider.session(async () => read(await connect(), netuid), signal);
        } catch (error) {
          // An api that has seen one bad answer may keep it: begin anew next time.
          await forget();
          throw error;
        }
      }),
    [Symbol.asyncDispose]: forget,
  };
}

async function read(api: ApiPromise, netuid: number): Promise<readonly Neuron[]> {
  const head = await api.rpc.chain.getFinalizedHead();
  const { query } = await api.at(head);
  const pallet = query.subtensorModule;
  const { validatorPermit, active, keys, totalHotkeyAlpha } = pallet ?? {};
  if (!validatorPermit || !active || !keys || !totalHotkeyAlpha) {
    throw new Error("its runtime has no SubtensorModule with ValidatorPermit, Active, Keys and TotalHotkeyAlpha");
  }
  const permits = flags(await validatorPermit(netuid), "ValidatorPermit");
  const actives = flags(await active(netuid), "Active");
  // Only those who could be eligible are asked for: some tens of a subnet's hundreds.
  const uids = permits.flatMap((hasPermit, uid) => (hasPermit && actives[uid] === true ? [uid] : []));
  if (uids.length === 0) return [];
  const hotkeys = await keys.multi<Coded & typeof head>(uids.map((uid) => [netuid, uid]));
  const stakes = await totalHotkeyAlpha.multi(hotkeys.map((hotkey) => [hotkey, netuid]));
  if (hotkeys.length !== uids.length || stakes.length !== uids.length) throw new Error("it left values out");
  return hotkeys.map((hotkey, index) => ({
    publicKey: hotkey.toHex().slice(2),
    hasPermit: true,
    isActive: true,
    stakeRao: BigInt(stakes[index]?.toString() ?? "0"),
  }));
}

function flags(value: Coded, name: string): readonly boolean[] {
  const list = value.toJSON();
  if (!Array.isArray(list) || list.length > NEURONS_MAX || !list.every((item) => typeof item === "boolean")) {
    throw new Error(`its ${name} is not a list of at most ${NEURONS_MAX} flags`);
  }
  return list;
}
