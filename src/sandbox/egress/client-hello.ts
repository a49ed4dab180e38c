/**
 * The name that a TLS client asks for (RFC 8446 §4.1.2, RFC 6066 §3), read from its first bytes before any of them is
 * forwarded. Only what is needed is parsed; whatever doesn't add up is not TLS.
 */

export type Hello =
  | { readonly kind: "name"; readonly name: string }
  /** a whole ClientHello without a server name, or with one that is no host name */
  | { readonly kind: "noName" }
  | { readonly kind: "notTls" }
  | { readonly kind: "incomplete" };

/** Bytes after which a hello that is still incomplete is none: real ones have some 2 000. */
export const helloBytesMax = 16 * 1024;

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;

/** A hello may be cut over several records; real clients use one. */
const RECORDS_MAX = 8;
const RECORD_HEAD_BYTES = 5;

/** @param bytes everything the client has sent so far */
export function readClientHello(bytes: Buffer): Hello {
  const parts: Buffer[] = [];
  let at = 0;
  while (at + RECORD_HEAD_BYTES <= bytes.length) {
    const recordBytes = bytes.readUInt16BE(at + 3);
    const isHandshake = bytes[at] === HANDSHAKE && bytes[at + 1] === 3 && recordBytes > 0 && recordBytes <= 16_384;
    // what follows the hello in the same flight is not ours to judge
    if (!isHandshake) break;
    if (parts.push(bytes.subarray(at + RECORD_HEAD_BYTES, at + RECORD_HEAD_BYTES + recordBytes)) > RECORDS_MAX) break;
    at += RECORD_HEAD_BYTES + recordBytes;
  }
  const message = Buffer.concat(parts);
  const want = message.length < 4 ? 4 : 4 + message.readUIntBE(1, 3);
  if (message.length >= want)
    return message[0] === CLIENT_HELLO ? nameIn(message.subarray(4, want)) : { kind: "notTls" };
  const isOdd = (message.length > 0 && message[0] !== CLIENT_HELLO) || want > helloBytesMax;
  const isStopped = at + RECORD_HEAD_BYTES <= bytes.length || (at < bytes.length && bytes[at] !== HANDSHAKE);
  return isOdd || isStopped || bytes.length >= helloBytesMax ? { kind: "notTls" } : { kind: "incomplete" };
}

/** A cursor that never reads beyond its end: what is not there reads as undefined. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(count: number): Buffer | undefined {
    if (this.#at + count > this.#bytes.length) return undefined;
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  /** A vector that begins with its own length. */
  vector(lengthBytes: 1 | 2): Buffer | undefined {
    const length = this.take(lengthBytes)?.readUIntBE(0, lengthBytes);
    return length === undefined ? undefined : this.take(length);
  }
}

function nameIn(hello: Buffer): Hello {
  const reader = new Reader(hello);
  const isWhole =
    reader.take(2 + 32) !== undefined &&
    reader.vector(1) !== undefined &&
    reader.vector(2) !== undefined &&
    reader.vector(1) !== undefined;
  if (!isWhole) return { kind: "notTls" };
  const extensions = reader.vector(2);
  if (extensions === undefined) return reader.isAtEnd ? { kind: "noName" } : { kind: "notTls" };
  const names: string[] = [];
  for (const list = new Reader(extensions); !list.isAtEnd; ) {
    const type = list.take(2)?.readUInt16BE(0);
    const body = list.vector(2);
    if (type === undefined || body === undefined) return { kind: "notTls" };
    if (type === SERVER_NAME) names.push(hostNameIn(body));
  }
  // A second name would be one that another parser may prefer.
  const [name] = names;
  return names.length === 1 && name !== undefined && name !== "" ? { kind: "name", name } : { kind: "noName" };
}

/** @returns empty where the list holds anything but exactly one host name */
function hostNameIn(body: Buffer): string {
  const outer = new Reader(body);
  const list = outer.vector(2);
  if (list === undefined || !outer.isAtEnd) return "";
  const entry = new Reader(list);
  const type = entry.take(1)?.[0];
  const name = entry.vector(2);
  return type === HOST_NAME && name !== undefined && entry.isAtEnd ? name.toString("latin1").toLowerCase() : "";
}
