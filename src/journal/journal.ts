/**
 * The journal on the store. What happens to a batch is appended in the transaction that makes it happen; what clients
 * read and follow is derived from these rows. A commit notifies `proctor_journal` with the batch's id on every node;
 * each node then reads the new rows once and hands them to its followers (feed.ts).
 */
import type { Clock } from "../kernel/clock.ts";
import type { Store } from "../store/port.ts";
import { appendEvents, JOURNAL_CHANNEL } from "./append.ts";
import { Feed, type FeedBounds, type FeedSource } from "./feed.ts";
import { followFeed } from "./follow.ts";
import type { Journal } from "./port.ts";
import { hasEnded, readEvents } from "./read.ts";

/** Floor under notifications: a feed with followers looks by itself this often. */
const POLL_MS = 10_000;

export interface JournalOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger?: { warn(fields: Record<string, unknown>, message: string): void } | undefined;
  /** tests make these small */
  readonly feedBounds?: FeedBounds | undefined;
  readonly pollMs?: number | undefined;
}

export function createJournal(options: JournalOptions): Journal {
  const { store, clock } = options;
  const closing = new AbortController();
  const feeds = new Map<string, Feed>();
  const source: FeedSource = {
    read: (batchId, since, limitCount) => readEvents(store.db, batchId, since, limitCount),
    hasEnded: (batchId) => hasEnded(store.db, batchId),
  };
  const onError = (error: unknown) =>
    options.logger?.warn({ err: String(error) }, "followers wait: the journal can't be read now");

  const pokeAll = () => {
    for (const feed of feeds.values()) feed.poke();
  };
  let listening: Promise<() => Promise<void>> | undefined;
  let polling: NodeJS.Timeout | undefined;
  /** Listens from the first follower on; a failed try is tried again by the next one. */
  const listen = async () => {
    polling ??= setInterval(pokeAll, options.pollMs ?? POLL_MS).unref();
    listening ??= store.listen(JOURNAL_CHANNEL, (batchId) => feeds.get(batchId)?.poke(), pokeAll);
    try {
      await listening;
    } catch (error) {
      listening = undefined;
      throw error;
    }
  };

  async function* follow(batchId: string, since: number, signal: AbortSignal) {
    const both = AbortSignal.any([signal, closing.signal]);
    if (both.aborted) return;
    await listen();
    let feed = feeds.get(batchId);
    if (feed === undefined) {
      feed = new Feed(batchId, source, onError, options.feedBounds);
      feeds.set(batchId, feed);
    }
    const follower = feed.attach();
    try {
      yield* followFeed(feed, follower, source, batchId, since, both);
    } finally {
      feed.detach(follower);
      if (feed.followerCount === 0 && feeds.get(batchId) === feed) feeds.delete(batchId);
    }
  }

  return {
    append: (tx, batchId, events) => appendEvents(store, clock, tx, batchId, events),
    read: (batchId, since, limitCount) => readEvents(store.db, batchId, since, limitCount),
    follow,
    async close() {
      closing.abort();
      clearInterval(polling);
      const stop = await listening?.catch(() => undefined);
      listening = undefined;
      await stop?.().catch(() => undefined);
    },
  };
}
