/**
 * The hash chain of a batch's journal. Each entry's hash covers the entry and the hash before it, so that a row that was
 * changed, dropped, moved or slipped in afterwards breaks every hash behind it:
 *
 *     hash = sha256(prevHash LF seq LF at LF event LF taskId LF data)      hex, lower case
 *
 * `prevHash` of the first entry is 64 zeros; `seq` decimal; `at` ISO 8601 in UTC with milliseconds; `taskId` empty where
 * there is none; `data` the stored bytes (canonical JSON, so no raw line feed). A task id holds no line feed (it is made
 * of printable characters), so no two entries have the same input.
 */
import { createHash } from "node:crypto";

export const GENESIS_HASH = "0".repeat(64);

export interface ChainEntry {
  readonly seq: number;
  readonly at: Date;
  readonly event: string;
  readonly task_id: string | null;
  /** canonical JSON text */
  readonly data: string;
}

/** @returns the entry's hash, 64 lower-case hex digits */
export function entryHash(prevHash: string, entry: ChainEntry): string {
  const { seq, at, event, task_id, data } = entry;
  return createHash("sha256")
    .update(`${prevHash}\n${seq}\n${at.toISOString()}\n${event}\n${task_id ?? ""}\n${data}`)
    .digest("hex");
}

export type ChainCheck =
  | { readonly ok: true; readonly headSeq: number; readonly headHash: string }
  | { readonly ok: false; readonly seq: number; readonly problem: "gap" | "hash" };

/**
 * Checks consecutive rows of one batch, oldest first.
 * @param from where the rows go on from; absent: from the beginning
 * @returns the head that the batch row must show, or the first entry that doesn't fit
 */
export function verifyChain(
  rows: Iterable<ChainEntry & { readonly hash: string }>,
  from: { readonly seq: number; readonly hash: string } = { seq: 0, hash: GENESIS_HASH },
): ChainCheck {
  let { seq, hash } = from;
  for (const row of rows) {
    if (row.seq !== seq + 1) return { ok: false, seq: seq + 1, problem: "gap" };
    hash = entryHash(hash, row);
    if (row.hash !== hash) return { ok: false, seq: row.seq, problem: "hash" };
    seq = row.seq;
  }
  return { ok: true, headSeq: seq, headHash: hash };
}
