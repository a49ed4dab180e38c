/**
 * The frame of a tar: 512-byte headers, the data each announces, and the two zero blocks that end it. The parser reads
 * the entries; this walks beside it and refuses what the parser lets pass: entries or data after the end mark, a missing
 * end mark, size fields that readers parse differently, and global headers that rename or resize entries.
 */
import { refusal } from "./refusal.ts";

const BLOCK = 512;
const HEADER_RECORD_BYTES_MAX = 1024 ** 2;
const RENAMING = /(?:^|\n)\d+ (?:path|linkpath|size|GNU\.sparse[^=]*)=/;

export class TarFrame {
  #partial: Buffer[] = [];
  #partialBytes = 0;
  #skipBytes = 0;
  #global: Buffer[] | undefined;
  #globalBytes = 0;
  #zeroBlocks = 0;

  /** Walks over the next bytes of the tar. @throws AppError `extraction_failed` */
  see(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skipBytes > 0) {
        const step = Math.min(this.#skipBytes, chunk.length - at);
        this.#seeData(chunk.subarray(at, at + step));
        at += step;
        continue;
      }
      const step = Math.min(BLOCK - this.#partialBytes, chunk.length - at);
      this.#partial.push(chunk.subarray(at, at + step));
      this.#partialBytes += step;
      at += step;
      if (this.#partialBytes === BLOCK) {
        const header = this.#partial.length === 1 ? (this.#partial[0] as Buffer) : Buffer.concat(this.#partial);
        this.#partial = [];
        this.#partialBytes = 0;
        this.#seeHeader(header);
      }
    }
  }

  /** @throws AppError `extraction_failed` where the tar ended without its end mark */
  end(): void {
    if (this.#partialBytes > 0 || this.#skipBytes > 0 || this.#zeroBlocks < 2) throw refusal("the tar is cut off");
  }

  #seeHeader(header: Buffer): void {
    if (header.every((byte) => byte === 0)) {
      this.#zeroBlocks++;
      return;
    }
    if (this.#zeroBlocks > 0) throw refusal("the tar has data after its end mark");
    const type = String.fromCharCode(header[156] ?? 0);
    const size = sizeOf(header);
    if ("xgLK".includes(type) && size > HEADER_RECORD_BYTES_MAX) {
      throw refusal(`the tar has an extended header above ${HEADER_RECORD_BYTES_MAX} bytes`);
    }
    const name = header.subarray(0, 100);
    const nameEnd = name.indexOf(0);
    const slash = name[(nameEnd < 0 ? 100 : nameEnd) - 1] === 0x2f;
    const isFolder = type === "5" || ((type === "0" || type === "\0") && slash);
    this.#skipBytes = isFolder ? 0 : Math.ceil(size / BLOCK) * BLOCK;
    this.#global = type === "g" ? [] : undefined;
    this.#globalBytes = size;
  }

  #seeData(data: Buffer): void {
    this.#skipBytes -= data.length;
    if (this.#global === undefined) return;
    this.#global.push(data);
    if (this.#skipBytes > 0) return;
    const text = Buffer.concat(this.#global).subarray(0, this.#globalBytes).toString("latin1");
    if (RENAMING.test(text)) throw refusal("the tar has a global header that renames or resizes its entries");
    this.#global = undefined;
  }
}

/** Plain octal, or base 256 within what a number holds; anything else is read differently by different readers. */
function sizeOf(header: Buffer): number {
  const field = header.subarray(124, 136);
  if (field[0] === 0x80) {
    const size = field.readBigUInt64BE(4);
    if (size <= BigInt(Number.MAX_SAFE_INTEGER) && field.subarray(1, 4).every((byte) => byte === 0))
      return Number(size);
    throw refusal("the tar has an entry of an impossible size");
  }
  const text = field.toString("latin1");
  if (/^[ \0]*$/.test(text)) return 0;
  const octal = /^ *([0-7]+)[ \0]*$/.exec(text)?.[1];
  if (octal === undefined) throw refusal("the tar has an entry with a malformed size");
  return Number.parseInt(octal, 8);
}
