/** Writing at the reader's pace: at most the socket's own buffer and one piece are held for a client. */
import type { ServerResponse } from "node:http";

/** The client took nothing for too long, or went away. */
export class WriteEnded extends Error {
  override readonly name = "WriteEnded";
  readonly reason: "stalled" | "closed";

  constructor(reason: "stalled" | "closed") {
    super(reason === "stalled" ? "the client does not read" : "the client went away");
    this.reason = reason;
  }
}

export class PacedWriter {
  readonly #outgoing: ServerResponse;
  readonly #stallMs: number;

  constructor(outgoing: ServerResponse, stallMs: number) {
    this.#outgoing = outgoing;
    this.#stallMs = stallMs;
  }

  /**
   * Resolves when more may be written. A client that stalls for `stallMs` is cut off.
   * @throws WriteEnded
   */
  async write(piece: string): Promise<void> {
    if (this.#outgoing.destroyed) throw new WriteEnded("closed");
    if (this.#outgoing.write(piece)) return;
    await this.#drained();
  }

  #drained(): Promise<void> {
    const outgoing = this.#outgoing;
    return new Promise((resolve, reject) => {
      const settle = (end?: WriteEnded) => {
        clearTimeout(timer);
        outgoing.off("drain", onDrain);
        outgoing.off("close", onClose);
        if (end === undefined) return resolve();
        outgoing.destroy();
        reject(end);
      };
      const onDrain = () => settle();
      const onClose = () => settle(new WriteEnded("closed"));
      const timer = setTimeout(() => settle(new WriteEnded("stalled")), this.#stallMs);
      outgoing.once("drain", onDrain);
      outgoing.once("close", onClose);
    });
  }
}
