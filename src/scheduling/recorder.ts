/**
 * What an attempt reports while it runs, on its way to the journal. The evaluator is never awaited: reports go into a
 * bounded buffer that is written in order, at most 100 ms after the first of them or when 64 KB are together. Neighbouring
 * texts of one stream become one event, split at `limits.logEventBytesMax`. While the store is gone the buffer waits and
 * tries again; above its bound it drops log text, never phases, and says how much.
 */
import type { AttemptReporter } from "../evaluation/port.ts";
import type { NewEvent } from "../journal/events.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Json } from "../kernel/json.ts";
import { limits } from "../kernel/limits.ts";
import { type Phase, statusOfPhase, type TaskStatus } from "../kernel/outcome.ts";

const FLUSH_AFTER_MS = 100;
const FLUSH_AT_BYTES = 64 * 1024;
const BUFFER_BYTES_MAX = 4 * 1024 ** 2;
const TRY_AGAIN_MS = 1_000;

/** Stores reports; `status` is the task's newest status if they change it. @returns false: the attempt is not ours any more */
export type RecordSink = (events: readonly NewEvent[], status: TaskStatus | undefined) => Promise<boolean>;

export interface RecorderOptions {
  readonly taskId: string;
  readonly clock: Clock;
  readonly sink: RecordSink;
  /** called once when the sink says that the attempt is another's */
  readonly onLost: () => void;
  readonly onError: (error: unknown) => void;
}

export class AttemptRecorder implements AttemptReporter {
  readonly #options: RecorderOptions;
  readonly #stop = new AbortController();
  #pending: NewEvent[] = [];
  #pendingBytes = 0;
  #droppedBytes = 0;
  #status: TaskStatus | undefined;
  #flushing: Promise<void> | undefined;
  #armed = false;

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  phase(...[phase, state, detail]: Parameters<AttemptReporter["phase"]>): void {
    if (this.#stop.signal.aborted) return;
    if (state === "started") this.#status = statusOfPhase[phase];
    const data = { phase, state, ...(detail === undefined ? {} : { ...(detail as { [key: string]: Json }) }) };
    this.#pending.push({ event: "task_phase", taskId: this.#options.taskId, data });
    this.#arm();
  }

  log(phase: Phase, stream: "stdout" | "stderr", text: string): void {
    if (this.#stop.signal.aborted || text === "") return;
    const bytes = Buffer.byteLength(text);
    if (this.#pendingBytes + bytes > BUFFER_BYTES_MAX) {
      this.#droppedBytes += bytes;
      return;
    }
    this.#pendingBytes += bytes;
    this.#pending.push({ event: "log", taskId: this.#options.taskId, data: { phase, stream, text } });
    if (this.#pendingBytes >= FLUSH_AT_BYTES) this.#flush();
    else this.#arm();
  }

  /** Takes no further report. @returns what is not yet written, for the transaction that ends the attempt */
  async close(): Promise<readonly NewEvent[]> {
    this.#stop.abort();
    await this.#flushing;
    return this.#take().events;
  }

  #arm(): void {
    if (this.#armed || this.#flushing !== undefined) return;
    this.#armed = true;
    this.#options.clock
      .sleep(FLUSH_AFTER_MS, this.#stop.signal)
      .then(() => this.#flush())
      .catch(() => undefined)
      .finally(() => {
        this.#armed = false;
      });
  }

  #flush(): void {
    this.#flushing ??= this.#write().finally(() => {
      this.#flushing = undefined;
      if (this.#pending.length > 0 && !this.#stop.signal.aborted) this.#arm();
    });
  }

  async #write(): Promise<void> {
    const { events, status } = this.#take();
    if (events.length === 0) return;
    try {
      if (!(await this.#options.sink(events, status))) this.#options.onLost();
    } catch (error) {
      this.#putBack(events, status);
      this.#options.onError(error);
      await this.#options.clock.sleep(TRY_AGAIN_MS, this.#stop.signal).catch(() => undefined);
    }
  }

  #take(): { readonly events: readonly NewEvent[]; readonly status: TaskStatus | undefined } {
    const events = joinLogs(this.#pending);
    if (this.#droppedBytes > 0) {
      const text = `\n... [${this.#droppedBytes} bytes of live output were not kept; the result has them]\n`;
      events.push({ event: "log", taskId: this.#options.taskId, data: { phase: "agent", stream: "stderr", text } });
    }
    const status = this.#status;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#droppedBytes = 0;
    this.#status = undefined;
    return { events, status };
  }

  #putBack(events: readonly NewEvent[], status: TaskStatus | undefined): void {
    this.#pending = [...events, ...this.#pending];
    for (const event of events) this.#pendingBytes += textBytes(event);
    this.#status ??= status;
  }
}

function textBytes({ data }: NewEvent): number {
  return typeof data.text === "string" ? Buffer.byteLength(data.text) : 0;
}

/** Joins neighbours of one phase and stream, then splits at the event's limit without cutting a character. */
export function joinLogs(events: readonly NewEvent[]): NewEvent[] {
  const joined: NewEvent[] = [];
  let parts: string[] = [];
  let first: NewEvent | undefined;
  const close = () => {
    if (first === undefined) return;
    const { data, ...rest } = first;
    for (const text of splitText(parts.join(""), limits.logEventBytesMax)) {
      joined.push({ ...rest, data: { ...data, text } });
    }
    first = undefined;
    parts = [];
  };
  for (const event of events) {
    if (event.event !== "log") {
      close();
      joined.push(event);
      continue;
    }
    if (first === undefined || first.data.phase !== event.data.phase || first.data.stream !== event.data.stream) {
      close();
      first = event;
    }
    parts.push(String(event.data.text));
  }
  close();
  return joined;
}

/** Pieces of at most `bytesMax` bytes of UTF-8, cut between characters. */
export function splitText(text: string, bytesMax: number): string[] {
  const bytes = Buffer.from(text, "utf8");
  const pieces: string[] = [];
  for (let start = 0; start < bytes.length; ) {
    let end = Math.min(start + bytesMax, bytes.length);
    // 10xxxxxx is the inside of a character: go back to where it begins.
    while (end < bytes.length && end > start && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
    if (end === start) end = Math.min(start + bytesMax, bytes.length);
    pieces.push(bytes.toString("utf8", start, end));
    start = end;
  }
  return pieces;
}
