/** The arithmetic of ballots: pure, so that a table can test it. */
import type { PublicKeyHex } from "../kernel/ids.ts";

/** Float error of `validators * threshold` that is not a vote: 0.1 * 30 is 3.0000000000000004. */
const ROUNDING = 1e-9;

/**
 * Votes that make a quorum.
 * @param eligibleCount validators in the set now
 * @param threshold fraction in (0, 1]; 0.5 means "half or more"
 * @param minVotes least votes, whatever the share
 * @returns a whole number ≥ 1; above `eligibleCount` where no quorum can be reached
 */
export function votesNeeded(eligibleCount: number, threshold: number, minVotes: number): number {
  return Math.max(1, minVotes, Math.ceil(eligibleCount * threshold - ROUNDING));
}

export type BallotRoom = "room" | "full" | "key_share";

/**
 * Whether `voter` may open one more ballot.
 *
 * Half of the capacity belongs to the keys, in equal parts: a key below its part always finds room, so no number of
 * greedy keys can shut out another. The other half goes to whoever comes first, so that an honest burst of one key is not
 * refused while there is room; but no key may hold more than half of all.
 * @param openByKey open ballots by the key that opened them
 * @param capacity MAX_PENDING_CONSENSUS, ≥ 1
 */
export function roomForBallot(
  openByKey: ReadonlyMap<string, number>,
  voter: PublicKeyHex,
  eligible: ReadonlySet<PublicKeyHex>,
  capacity: number,
): BallotRoom {
  const total = [...openByKey.values()].reduce((sum, count) => sum + count, 0);
  if (total >= capacity) return "full";
  const mine = openByKey.get(voter) ?? 0;
  const keys = Math.max(1, eligible.size);
  const part = Math.max(Math.floor(capacity / (2 * keys)), capacity >= keys ? 1 : 0);
  if (mine < part) return "room";
  const most = eligible.size <= 1 ? capacity : Math.max(1, Math.floor(capacity / 2));
  if (mine >= most) return "key_share";
  let reserved = 0;
  for (const key of eligible) {
    if (key !== voter) reserved += Math.max(0, part - (openByKey.get(key) ?? 0));
  }
  return total + reserved < capacity ? "room" : "full";
}

/** Tasks of a batch that run at once: what the caller asked, clamped to 1..max; absent: max. */
export function clampConcurrency(asked: number | undefined, max: number): number {
  return asked === undefined ? max : Math.min(Math.max(1, Math.trunc(asked)), max);
}
