/** Who of a subnet's neurons may submit: pure. */
import { type PublicKeyHex, parsePublicKeyHex } from "../../kernel/ids.ts";

const RAO_DECIMALS = 9;
/** What an unset key reads as; nobody can sign for it. */
const NO_KEY = "0".repeat(64);

/** What one block says of one neuron. */
export interface Neuron {
  readonly publicKey: string;
  readonly hasPermit: boolean;
  readonly isActive: boolean;
  readonly stakeRao: bigint;
}

/** Keys with permit AND active AND stake ≥ the minimum. */
export function selectEligible(neurons: readonly Neuron[], minStakeRao: bigint): ReadonlySet<PublicKeyHex> {
  const keys = new Set<PublicKeyHex>();
  for (const neuron of neurons) {
    const key = neuron.publicKey === NO_KEY ? undefined : parsePublicKeyHex(neuron.publicKey);
    if (key !== undefined && neuron.hasPermit && neuron.isActive && neuron.stakeRao >= minStakeRao) keys.add(key);
  }
  return keys;
}

/** @param tao decimal, ≥ 0 @returns the same in rao (10⁻⁹), rounded to the nearest */
export function taoToRao(tao: number): bigint {
  return BigInt(tao.toFixed(RAO_DECIMALS).replace(".", ""));
}
