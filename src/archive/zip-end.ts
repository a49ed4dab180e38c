/**
 * Where a zip ends: its end record (and zip64 records), read strictly. Readers search it from the back and differ in what
 * they accept, which is how one file becomes two archives; here it must be the file's last bytes, directly behind the
 * central directory, on one disk, with 32-bit and 64-bit fields that agree.
 */
import type { FileHandle } from "node:fs/promises";
import { limits } from "../kernel/limits.ts";
import { tooManyEntries } from "./entry-tree.ts";
import { refusal } from "./refusal.ts";

const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
const COMMENT_BYTES_MAX = 0xffff;

export interface ZipEnd {
  readonly entryCount: number;
  readonly directoryStart: number;
  readonly directoryBytes: number;
}

/** @throws AppError `extraction_failed` for truncation, trailing data, several disks, lies, or too many entries */
export async function readZipEnd(file: FileHandle, sizeBytes: number): Promise<ZipEnd> {
  const tailBytes = Math.min(sizeBytes, END_BYTES + COMMENT_BYTES_MAX);
  const tail = await readExactly(file, sizeBytes - tailBytes, tailBytes);
  const at = findEnd(tail);
  const end = tail.subarray(at);
  const endStart = sizeBytes - tailBytes + at;
  const disks = [end.readUInt16LE(4), end.readUInt16LE(6)];
  const counts = [end.readUInt16LE(8), end.readUInt16LE(10)];
  const short = { count: counts[1] ?? 0, bytes: end.readUInt32LE(12), start: end.readUInt32LE(16) };
  if (disks.some((disk) => disk !== 0) || counts[0] !== counts[1]) throw refusal("the zip spans several disks");
  const long = await readEnd64(file, endStart);
  const count = long?.count ?? short.count;
  const bytes = long?.bytes ?? short.bytes;
  const start = long?.start ?? short.start;
  const agree =
    (short.count === count || short.count === 0xffff) &&
    (short.bytes === bytes || short.bytes === 0xffffffff) &&
    (short.start === start || short.start === 0xffffffff);
  if (!agree) throw refusal("the zip's two end records contradict each other");
  if (count > limits.archiveEntriesMax) throw tooManyEntries();
  if (start + bytes !== (long?.recordStart ?? endStart)) {
    throw refusal("the zip's central directory is not where its end record says, or other data follows it");
  }
  if (count === 0) throw refusal("the archive has no entries");
  return { entryCount: count, directoryStart: start, directoryBytes: bytes };
}

/** The last end record whose comment ends exactly with the file; another one in that comment is an ambiguity. */
function findEnd(tail: Buffer): number {
  const last = tail.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  if (last < 0 || last + END_BYTES > tail.length) {
    throw refusal("the zip has no end record: it is cut off, or other data follows it");
  }
  if (last + END_BYTES + tail.readUInt16LE(last + 20) !== tail.length) {
    throw refusal("the zip has data after its end record, or more than one end record");
  }
  return last;
}

async function readEnd64(file: FileHandle, endStart: number) {
  if (endStart < LOCATOR_BYTES + END64_BYTES) return undefined;
  const locator = await readExactly(file, endStart - LOCATOR_BYTES, LOCATOR_BYTES);
  if (locator.readUInt32LE(0) !== 0x07064b50) return undefined;
  const recordStart = Number(locator.readBigUInt64LE(8));
  if (recordStart !== endStart - LOCATOR_BYTES - END64_BYTES || locator.readUInt32LE(4) !== 0) {
    throw refusal("the zip64 end record is not where its locator says");
  }
  const record = await readExactly(file, recordStart, END64_BYTES);
  const sane =
    record.readUInt32LE(0) === 0x06064b50 &&
    record.readBigUInt64LE(4) === BigInt(END64_BYTES - 12) &&
    record.readUInt32LE(16) === 0 &&
    record.readUInt32LE(20) === 0 &&
    record.readBigUInt64LE(24) === record.readBigUInt64LE(32);
  if (!sane) throw refusal("the zip64 end record is malformed");
  return {
    recordStart,
    count: Number(record.readBigUInt64LE(32)),
    bytes: Number(record.readBigUInt64LE(40)),
    start: Number(record.readBigUInt64LE(48)),
  };
}

async function readExactly(file: FileHandle, start: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, start);
  if (bytesRead !== length) throw refusal("the zip is cut off");
  return buffer;
}
