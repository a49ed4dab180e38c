/** Live events: the same JSON on SSE and WebSocket. */
import * as v from "valibot";
import { eventNames, type JournalEvent } from "../../journal/events.ts";
import type { SnapshotWire } from "./batch.ts";
import type { OutputsVisible } from "./task.ts";

export const streamEventNames = ["snapshot", ...eventNames, "stream_closed"] as const;

export const eventWire = v.object({
  event: v.picklist(streamEventNames),
  batch_id: v.string(),
  task_id: v.optional(v.string()),
  seq: v.number(),
  at: v.string(),
  data: v.looseObject({}),
});
export type EventWire = Omit<v.InferOutput<typeof eventWire>, "data"> & { readonly data: object };

/** @param visible other than `full`: the text of a log event is withheld, its place in the sequence stays */
export function eventToWire(event: JournalEvent, visible: OutputsVisible): EventWire {
  const isWithheld = event.event === "log" && visible !== "full";
  return {
    event: event.event,
    batch_id: event.batchId,
    ...(event.taskId === null ? {} : { task_id: event.taskId }),
    seq: event.seq,
    at: event.at.toISOString(),
    data: isWithheld ? { ...event.data, text: "", withheld: true } : event.data,
  };
}

/** The state at `seq`; the event after it has seq + 1. */
export function snapshotEvent(batchId: string, seq: number, at: Date, data: SnapshotWire): EventWire {
  return { event: "snapshot", batch_id: batchId, seq, at: at.toISOString(), data };
}

/**
 * The last thing a follower hears. After the end of a batch it takes the number that no event will have any more, so that
 * no number comes twice. While the batch goes on that number is the next event's, which whoever resumes must still get:
 * the last one heard is repeated.
 * @param lastSeq of the last event that was sent
 */
export function streamClosedEvent(batchId: string, lastSeq: number, at: Date, reason: StreamEnd): EventWire {
  const seq = reason === "batch_ended" ? lastSeq + 1 : lastSeq;
  return { event: "stream_closed", batch_id: batchId, seq, at: at.toISOString(), data: { reason } };
}

/** batch_ended: all was said · server_closing: resume at the next server */
export type StreamEnd = "batch_ended" | "server_closing";
