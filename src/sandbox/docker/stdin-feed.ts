/** Feeds one command's stdin within what the supervisor granted, so that neither side ever holds more than a window. */
import { Readable } from "node:stream";
import { deferred } from "../../kernel/signals.ts";
import { frameIn, stdinWindowBytes } from "./frames.ts";

const CHUNK_BYTES = 64 * 1024;

export class StdinFeed {
  readonly #source: Readable;
  readonly #send: (type: number, payload?: Buffer) => void;
  #granted = 0;
  #room = deferred();
  #stopped = false;

  constructor(source: Readable | Buffer, send: (type: number, payload?: Buffer) => void) {
    this.#source = Buffer.isBuffer(source) ? Readable.from(source.length === 0 ? [] : [source]) : source;
    this.#send = send;
  }

  /** Begins to send, at most `bytes` before the first grant. */
  start(bytes: number): void {
    this.#granted = bytes;
    void this.#pump();
  }

  /** @returns false where more is granted than was sent: then the other side is broken */
  grant(bytes: number): boolean {
    if (this.#stopped || this.#granted + bytes > stdinWindowBytes) return false;
    this.#granted += bytes;
    this.#room.resolve();
    return true;
  }

  /** The command ended: what is left is not sent. */
  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#source.destroy();
    this.#room.resolve();
  }

  async #pump(): Promise<void> {
    try {
      for await (const chunk of this.#source) await this.#sendChunk(Buffer.from(chunk));
    } catch {
      // a source that broke ends stdin early; whoever gave it knows why, and the command sees the end
    }
    if (!this.#stopped) this.#send(frameIn.stdinEnd);
  }

  async #sendChunk(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      while (this.#granted === 0 && !this.#stopped) {
        this.#room = deferred();
        await this.#room.promise;
      }
      if (this.#stopped) return;
      const bytes = chunk.subarray(at, at + Math.min(this.#granted, CHUNK_BYTES));
      this.#granted -= bytes.length;
      at += bytes.length;
      this.#send(frameIn.stdin, bytes);
    }
  }
}
