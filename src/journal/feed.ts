/**
 * Live events of one batch for all its followers on this node.
 *
 * A feed reads each new row once, whatever the number of followers, and hands the same event object to each of them. A
 * follower holds a bounded buffer. It is `live` while it has got every row that the feed has read; one whose buffer is
 * full is left behind (no longer live) and reads from the store itself until it has reached the feed's position again.
 * Joining is decided without an await between the look at the position and the change, so no row falls in between; and
 * every join makes the feed read once more, so a notification that came before it isn't missed.
 */
import { Buffer } from "node:buffer";
import { limits } from "../kernel/limits.ts";
import type { JournalEvent } from "./events.ts";

export interface FeedSource {
  /** Events with seq > `since`, oldest first. */
  read(batchId: string, since: number, limitCount: number): Promise<readonly JournalEvent[]>;
  /** Whether nothing can happen to the batch any more. */
  hasEnded(batchId: string): Promise<boolean>;
}

export interface FeedBounds {
  /** events that one follower's buffer holds */
  readonly eventsMax: number;
  /** sum of their texts, bytes, roughly */
  readonly bytesMax: number;
}

const DEFAULT_BOUNDS: FeedBounds = { eventsMax: 1_000, bytesMax: 1024 ** 2 };

/** One follower's place. Its reader waits on `changed`. */
export interface Follower {
  readonly buffer: JournalEvent[];
  bufferBytes: number;
  live: boolean;
  /** resolves the reader's wait; replaced by each wait */
  wake: () => void;
}

export class Feed {
  readonly #batchId: string;
  readonly #source: FeedSource;
  readonly #bounds: FeedBounds;
  readonly #onError: (error: unknown) => void;
  readonly #followers = new Set<Follower>();
  /** last sequence number handed out; undefined until a first follower is live */
  #position: number | undefined;
  #reading = false;
  #dirty = false;
  /** nothing more will come: the batch has ended and its last row was handed out */
  ended = false;

  constructor(
    batchId: string,
    source: FeedSource,
    onError: (error: unknown) => void,
    bounds: FeedBounds = DEFAULT_BOUNDS,
  ) {
    this.#batchId = batchId;
    this.#source = source;
    this.#bounds = bounds;
    this.#onError = onError;
  }

  get followerCount(): number {
    return this.#followers.size;
  }

  attach(): Follower {
    const follower: Follower = { buffer: [], bufferBytes: 0, live: false, wake: () => {} };
    this.#followers.add(follower);
    return follower;
  }

  detach(follower: Follower): void {
    this.#followers.delete(follower);
  }

  /** Makes a follower live if it has seen all that the feed has handed out. @param seen its last sequence number */
  join(follower: Follower, seen: number): boolean {
    if (this.#position !== undefined && seen < this.#position) return false;
    this.#position ??= seen;
    follower.live = true;
    this.poke();
    return true;
  }

  /** Reads what is new, soon; calls while it reads are one more read afterwards. */
  poke(): void {
    this.#dirty = true;
    if (!this.#reading) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#reading = true;
    try {
      while (this.#dirty && this.#position !== undefined && this.#followers.size > 0) {
        this.#dirty = false;
        await this.#readNew(this.#position);
      }
    } catch (error) {
      // The store is gone for now: the notification after its return, or the slow poll, brings us back.
      this.#onError(error);
    } finally {
      this.#reading = false;
    }
  }

  async #readNew(position: number): Promise<void> {
    const events = await this.#source.read(this.#batchId, position, limits.eventPageCount);
    for (const event of events) {
      this.#position = event.seq;
      const bytes = sizeOf(event);
      for (const follower of this.#followers) this.#offer(follower, event, bytes);
    }
    if (events.length === limits.eventPageCount) this.#dirty = true;
    else if (events.length === 0) await this.#noticeEnd(position);
    if (events.at(-1)?.event === "batch_complete") this.ended = true;
    if (events.length > 0 || this.ended) for (const follower of this.#followers) follower.wake();
  }

  /** A batch may end without `batch_complete` (a ballot that expired): found by looking, when there was nothing to read. */
  async #noticeEnd(position: number): Promise<void> {
    if (!(await this.#source.hasEnded(this.#batchId))) return;
    // Rows and end are committed together: what was committed between our read and our look is read first.
    const late = await this.#source.read(this.#batchId, position, 1);
    if (late.length === 0) this.ended = true;
    else this.#dirty = true;
  }

  #offer(follower: Follower, event: JournalEvent, bytes: number): void {
    if (!follower.live) return;
    const full =
      follower.buffer.length >= this.#bounds.eventsMax || follower.bufferBytes + bytes > this.#bounds.bytesMax;
    if (full && follower.buffer.length > 0) {
      // What it had buffered is in the store as well: memory is given back at once.
      follower.live = false;
      follower.buffer.length = 0;
      follower.bufferBytes = 0;
      return;
    }
    follower.buffer.push(event);
    follower.bufferBytes += bytes;
  }
}

/** Rough size of an event in memory: its text decides. */
export function sizeOf(event: JournalEvent): number {
  const { text } = event.data;
  return 256 + (typeof text === "string" ? Buffer.byteLength(text) : 0);
}
