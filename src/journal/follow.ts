/** One follower's view: catch up from the store, then live from the feed, and back when it was too slow. */
import { limits } from "../kernel/limits.ts";
import type { JournalEvent } from "./events.ts";
import { type Feed, type FeedSource, type Follower, sizeOf } from "./feed.ts";

/** See Journal.follow. */
export async function* followFeed(
  feed: Feed,
  follower: Follower,
  source: FeedSource,
  batchId: string,
  since: number,
  signal: AbortSignal,
): AsyncGenerator<JournalEvent, void, undefined> {
  let seen = since;
  while (!signal.aborted) {
    if (!follower.live) {
      const page = await source.read(batchId, seen, limits.eventPageCount);
      for (const event of page) {
        if (signal.aborted) return;
        seen = event.seq;
        yield event;
        if (event.event === "batch_complete") return;
      }
      if (page.length === 0 && (await ended(feed, source, batchId, seen))) return;
      if (page.length < limits.eventPageCount) feed.join(follower, seen);
      continue;
    }
    const event = follower.buffer.shift();
    if (event === undefined) {
      if (feed.ended) follower.live = false;
      else await changed(feed, follower, signal);
      continue;
    }
    follower.bufferBytes -= sizeOf(event);
    // The feed began before this follower's position: it has these already.
    if (event.seq <= seen) continue;
    seen = event.seq;
    yield event;
    if (event.event === "batch_complete") return;
  }
}

async function ended(feed: Feed, source: FeedSource, batchId: string, seen: number): Promise<boolean> {
  if (!feed.ended && !(await source.hasEnded(batchId))) return false;
  return (await source.read(batchId, seen, 1)).length === 0;
}

function changed(feed: Feed, follower: Follower, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      signal.removeEventListener("abort", done);
      follower.wake = () => {};
      resolve();
    };
    follower.wake = done;
    signal.addEventListener("abort", done, { once: true });
    if (signal.aborted || follower.buffer.length > 0 || !follower.live || feed.ended) done();
  });
}
