/**
 * What a follower hears, whatever the transport.
 *
 * Without `since`: a `snapshot`, then every event after it. Batch, tasks and the journal's head are read in one repeatable
 * read, so the snapshot's `seq` is exactly the state it shows; following from that number then loses nothing and repeats
 * nothing. With `since`: the events after it, no snapshot. After the last event comes `stream_closed`.
 */
import type { BatchId } from "../../kernel/ids.ts";
import { limits } from "../../kernel/limits.ts";
import { type BatchRow, findBatch } from "../../store/tables/batches.ts";
import { listTaskSummaries, type TaskSummaryRow } from "../../store/tables/tasks.ts";
import type { ApiDeps } from "../deps.ts";
import { hasEnded, snapshotToWire } from "../wire/batch.ts";
import { type EventWire, eventToWire, snapshotEvent, streamClosedEvent } from "../wire/event.ts";
import type { OutputsVisible } from "../wire/task.ts";

export interface FollowRequest {
  readonly batchId: BatchId;
  /** last sequence number the client has; undefined: begin with a snapshot */
  readonly since: number | undefined;
  readonly outputs: OutputsVisible;
  /** ends the stream with `stream_closed` */
  readonly signal: AbortSignal;
}

export interface Progress {
  /** the batch has ended and the client has heard all of it */
  readonly isExhausted: boolean;
  events(): AsyncGenerator<EventWire>;
}

/** @returns undefined where there is no such batch */
export type Follow = (request: FollowRequest) => Promise<Progress | undefined>;

interface State {
  readonly batch: BatchRow;
  readonly tasks: readonly TaskSummaryRow[];
}

export function createFollow(deps: ApiDeps): Follow {
  return async (request) => {
    const state = await readState(deps, request.batchId, request.since === undefined);
    if (state === undefined) return undefined;
    const ended = hasEnded(state.batch);
    return {
      isExhausted: ended && request.since !== undefined && request.since >= state.batch.head_seq,
      events: () => (ended ? replay(deps, request, state) : live(deps, request, state)),
    };
  };
}

/** An ended batch: its snapshot, or the events the client has not heard. */
async function* replay(deps: ApiDeps, request: FollowRequest, state: State): AsyncGenerator<EventWire> {
  const { batchId, outputs, signal } = request;
  const head = state.batch.head_seq;
  if (request.since === undefined) yield snapshotOf(deps, state);
  let seq = request.since ?? head;
  while (seq < head && !signal.aborted) {
    const page = await deps.journal.read(batchId, seq, limits.eventPageCount);
    for (const event of page) {
      yield eventToWire(event, outputs);
      seq = event.seq;
    }
    if (page.length === 0) break;
  }
  yield closedAfter(deps, batchId, seq, signal);
}

async function* live(deps: ApiDeps, request: FollowRequest, state: State): AsyncGenerator<EventWire> {
  const { batchId, outputs, signal } = request;
  let seq = request.since ?? state.batch.head_seq;
  if (request.since === undefined) yield snapshotOf(deps, state);
  for await (const event of deps.journal.follow(batchId, seq, signal)) {
    yield eventToWire(event, outputs);
    seq = event.seq;
  }
  yield closedAfter(deps, batchId, seq, signal);
}

function closedAfter(deps: ApiDeps, batchId: BatchId, seq: number, signal: AbortSignal): EventWire {
  return streamClosedEvent(batchId, seq, new Date(deps.clock.now()), signal.aborted ? "server_closing" : "batch_ended");
}

/** The batch and, for a snapshot, its tasks, as of one moment. */
async function readState(deps: ApiDeps, batchId: BatchId, withTasks: boolean): Promise<State | undefined> {
  const { db } = deps.store;
  if (!withTasks) {
    const batch = await findBatch(db, batchId);
    return batch === undefined ? undefined : { batch, tasks: [] };
  }
  return db
    .transaction()
    .setIsolationLevel("repeatable read")
    .setAccessMode("read only")
    .execute(async (tx) => {
      const batch = await findBatch(tx, batchId);
      return batch === undefined ? undefined : { batch, tasks: await listTaskSummaries(tx, batchId) };
    });
}

function snapshotOf(deps: ApiDeps, { batch, tasks }: State): EventWire {
  return snapshotEvent(batch.batch_id, batch.head_seq, new Date(deps.clock.now()), snapshotToWire(batch, tasks));
}
