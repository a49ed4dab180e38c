/** Takes the engine's multiplexed attach stream apart, a chunk at a time; nothing is kept but an unfinished header. */
import { ProtocolError } from "./frames.ts";

const HEAD_BYTES = 8;

export class Demux {
  readonly #onStdout: (bytes: Buffer) => void;
  readonly #onStderr: (bytes: Buffer) => void;
  #head: Buffer = Buffer.alloc(0);
  #left = 0;
  #stream = 0;

  constructor(onStdout: (bytes: Buffer) => void, onStderr: (bytes: Buffer) => void) {
    this.#onStdout = onStdout;
    this.#onStderr = onStderr;
  }

  /** @throws ProtocolError for a stream number that the engine never uses */
  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) {
        rest = this.#readHead(rest);
        continue;
      }
      const bytes = rest.subarray(0, this.#left);
      this.#left -= bytes.length;
      rest = rest.subarray(bytes.length);
      if (this.#stream === 1) this.#onStdout(bytes);
      else this.#onStderr(bytes);
    }
  }

  #readHead(chunk: Buffer): Buffer {
    const needed = HEAD_BYTES - this.#head.length;
    this.#head = Buffer.concat([this.#head, chunk.subarray(0, needed)]);
    if (this.#head.length === HEAD_BYTES) {
      this.#stream = this.#head.readUInt8(0);
      this.#left = this.#head.readUInt32BE(4);
      if (this.#stream !== 1 && this.#stream !== 2) throw new ProtocolError(`attach stream ${this.#stream}`);
      this.#head = Buffer.alloc(0);
    }
    return chunk.subarray(needed);
  }
}
