/** The journal port: append inside the caller's transaction, read in order, follow live. */
import type { Tx } from "../store/port.ts";
import type { JournalEvent, NewEvent } from "./events.ts";

export interface Journal {
  /**
   * Appends events of one batch in order, inside `tx`: takes the batch's row lock, numbers the events without a gap,
   * chains their hashes, and wakes followers on every node when `tx` commits. @returns the last sequence number
   */
  append(tx: Tx, batchId: string, events: readonly NewEvent[]): Promise<number>;
  /** Events with seq > `since`, oldest first, at most `limitCount`. */
  read(batchId: string, since: number, limitCount: number): Promise<readonly JournalEvent[]>;
  /**
   * Every event with seq > `since`, live, in order, without gaps or doubles; ends after `batch_complete`, or when
   * `signal` aborts. Memory per follower is bounded: one that reads slowly re-reads from the store.
   */
  follow(batchId: string, since: number, signal: AbortSignal): AsyncIterable<JournalEvent>;
  close(): Promise<void>;
}
