/** Archives made by hand, byte by byte, so that a test can lie in any field. */
import { crc32, deflateRawSync, gzipSync } from "node:zlib";

export interface ZipLie {
  readonly name: string | Buffer;
  readonly data?: Buffer | string;
  readonly method?: number;
  readonly flags?: number;
  /** Unix mode with type bits */
  readonly mode?: number;
  /** what the headers say instead of the truth */
  readonly crc?: number;
  readonly size?: number;
  readonly compressedSize?: number;
  readonly localName?: string;
  readonly offset?: number;
  /** bytes behind the data that belong to no entry */
  readonly gap?: Buffer;
  /** already compressed data */
  readonly raw?: Buffer;
  readonly extra?: Buffer;
}

export interface ZipShape {
  readonly prefix?: Buffer;
  readonly comment?: Buffer;
  readonly trailing?: Buffer;
  readonly count?: number;
  readonly directoryOffset?: number;
  readonly directorySize?: number;
  readonly disk?: number;
  /** records between central directory and end record */
  readonly zip64?: (facts: { start: number; size: number; count: number }) => Buffer;
}

export function zipOf(entries: readonly ZipLie[], shape: ZipShape = {}): Buffer {
  const parts: Buffer[] = [shape.prefix ?? Buffer.alloc(0)];
  const central: Buffer[] = [];
  let at = parts[0]?.length ?? 0;
  for (const entry of entries) {
    const name = Buffer.from(entry.name as string);
    const data = Buffer.from(entry.data ?? "");
    const method = entry.method ?? 8;
    const body = entry.raw ?? (method === 8 ? deflateRawSync(data) : data);
    const extra = entry.extra ?? Buffer.alloc(0);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(entry.flags ?? 0x800, 2);
    fields.writeUInt16LE(method, 4);
    fields.writeUInt32LE(0x00210000, 6);
    fields.writeUInt32LE(entry.crc ?? crc32(data), 10);
    fields.writeUInt32LE(entry.compressedSize ?? body.length, 14);
    fields.writeUInt32LE(entry.size ?? data.length, 18);
    const localName = Buffer.from(entry.localName ?? name);
    const local = Buffer.from(fields);
    local.writeUInt16LE(localName.length, 22);
    local.writeUInt16LE(0, 24);
    parts.push(u32(0x04034b50), local, localName, body, entry.gap ?? Buffer.alloc(0));
    fields.writeUInt16LE(name.length, 22);
    fields.writeUInt16LE(extra.length, 24);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(((entry.mode ?? 0o100644) << 16) >>> 0, 6);
    rest.writeUInt32LE(entry.offset ?? at, 10);
    central.push(u32(0x02014b50), u16(0x0314), fields, rest, name, extra);
    at += 30 + localName.length + body.length + (entry.gap?.length ?? 0);
  }
  const directory = Buffer.concat(central);
  const facts = { start: at, size: directory.length, count: entries.length };
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(shape.disk ?? 0, 4);
  end.writeUInt16LE((shape.count ?? facts.count) & 0xffff, 8);
  end.writeUInt16LE((shape.count ?? facts.count) & 0xffff, 10);
  end.writeUInt32LE(shape.directorySize ?? facts.size, 12);
  end.writeUInt32LE(shape.directoryOffset ?? facts.start, 16);
  end.writeUInt16LE(shape.comment?.length ?? 0, 20);
  const extra = shape.zip64?.(facts) ?? Buffer.alloc(0);
  return Buffer.concat([
    ...parts,
    directory,
    extra,
    end,
    shape.comment ?? Buffer.alloc(0),
    shape.trailing ?? Buffer.alloc(0),
  ]);
}

/** zip64 end record and locator, telling what `facts` say. */
export function zip64End(facts: { start: number; size: number; count: number }, recordAt: number): Buffer {
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeUInt16LE(45, 12);
  record.writeUInt16LE(45, 14);
  record.writeBigUInt64LE(BigInt(facts.count), 24);
  record.writeBigUInt64LE(BigInt(facts.count), 32);
  record.writeBigUInt64LE(BigInt(facts.size), 40);
  record.writeBigUInt64LE(BigInt(facts.start), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(recordAt), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([record, locator]);
}

export interface TarLie {
  readonly name: string;
  readonly data?: Buffer | string;
  readonly type?: string;
  readonly mode?: number;
  readonly linkname?: string;
  readonly size?: number;
  /** raw 12 bytes of the size field */
  readonly sizeField?: Buffer;
}

export function tarOf(entries: readonly TarLie[], end: Buffer = Buffer.alloc(1024)): Buffer {
  return Buffer.concat([...entries.map(tarEntry), end]);
}

export function tarGzOf(entries: readonly TarLie[], end?: Buffer): Buffer {
  return gzipSync(tarOf(entries, end));
}

export function tarEntry(entry: TarLie): Buffer {
  const data = Buffer.from(entry.data ?? "");
  const header = Buffer.alloc(512);
  header.write(entry.name, 0, 100);
  header.write(`${(entry.mode ?? 0o644).toString(8).padStart(7, "0")}\0`, 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${(entry.size ?? data.length).toString(8).padStart(11, "0")}\0`, 124);
  entry.sizeField?.copy(header, 124);
  header.write("00000000000\0", 136);
  header.write(entry.type ?? "0", 156);
  header.write(entry.linkname ?? "", 157, 100);
  header.write("ustar\x0000", 257, "latin1");
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

/** Records of a pax header. */
export function pax(records: Readonly<Record<string, string>>): string {
  return Object.entries(records)
    .map(([key, value]) => {
      const rest = Buffer.byteLength(` ${key}=${value}\n`);
      let length = rest + 1;
      while (`${length}`.length + rest !== length) length = `${length}`.length + rest;
      return `${length} ${key}=${value}\n`;
    })
    .join("");
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value >>> 0);
  return buffer;
}

function u16(value: number): Buffer {
  const buffer = Buffer.alloc(2);
  buffer.writeUInt16LE(value);
  return buffer;
}
