/** What happened to a batch: the closed list of events, their data, and their wire form. */
import type { Json } from "../kernel/json.ts";

export const eventNames = [
  "batch_started",
  "task_started",
  "task_phase",
  "log",
  "task_retry",
  "task_complete",
  "batch_complete",
] as const;
export type EventName = (typeof eventNames)[number];

/** An event before it has its place in the journal. */
export interface NewEvent {
  readonly event: EventName;
  readonly taskId?: string;
  readonly data: { readonly [key: string]: Json | undefined };
}

/** An event in its place: `seq` counts from 1 in each batch, without gaps. */
export interface JournalEvent {
  readonly batchId: string;
  readonly seq: number;
  readonly at: Date;
  readonly event: EventName;
  readonly taskId: string | null;
  readonly data: { readonly [key: string]: Json | undefined };
}
