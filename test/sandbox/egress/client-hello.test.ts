/** The server name in a TLS hello: of real clients, however it is cut, and of whoever lies. */
import { describe, expect, it } from "vitest";
import { helloBytesMax, readClientHello } from "../../../src/sandbox/egress/client-hello.ts";
import { helloOf } from "./hello.ts";

const real = await helloOf("registry.example");
const nameless = await helloOf();
const named = { kind: "name", name: "registry.example" };

/** The handshake message of a hello, cut into records of at most `size` bytes. */
function inRecords(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5);
  const parts: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    const head = Buffer.from([22, 3, 1, 0, 0]);
    head.writeUInt16BE(part.length, 3);
    parts.push(head, part);
  }
  return Buffer.concat(parts);
}

/** A hello of our own making with the extensions given. */
function made(extensions: Buffer): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    Buffer.from([0, 0, 2, 0x13, 0x01, 1, 0]),
    vector(extensions),
  ]);
  const message = Buffer.concat([Buffer.from([1, 0]), vector(body)]);
  return Buffer.concat([Buffer.from([22, 3, 1]), vector(message)]);
}
function vector(bytes: Buffer): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(bytes.length);
  return Buffer.concat([head, bytes]);
}
const entry = (name: string, type = 0) => Buffer.concat([Buffer.from([type]), vector(Buffer.from(name))]);
const serverName = (...entries: Buffer[]) =>
  Buffer.concat([Buffer.from([0, 0]), vector(vector(Buffer.concat(entries)))]);

describe("a client's hello", () => {
  it("names the host", () => expect(readClientHello(real)).toEqual(named));

  it("names it in lower case, which is how hosts are compared", async () => {
    expect(readClientHello(await helloOf("Registry.EXAMPLE"))).toEqual(named);
  });

  it("is incomplete at every cut but the last, and never anything else", () => {
    for (let length = 0; length < real.length; length++) {
      expect(readClientHello(real.subarray(0, length)), `${length} bytes`).toEqual({ kind: "incomplete" });
    }
  });

  it("may be cut over a few records", () => {
    expect(readClientHello(inRecords(real, Math.ceil((real.length - 5) / 4)))).toEqual(named);
  });

  it("with bytes behind it is judged by itself", () => {
    expect(readClientHello(Buffer.concat([real, Buffer.from("\x17\x03\x03")]))).toEqual(named);
  });
});

describe("not a hello that names a host", () => {
  it.each([
    { why: "a client that names nobody", bytes: nameless, kind: "noName" },
    { why: "no extension at all", bytes: made(Buffer.alloc(0)), kind: "noName" },
    { why: "an empty name", bytes: made(serverName(entry(""))), kind: "noName" },
    { why: "two names in one list", bytes: made(serverName(entry("a.example"), entry("b.example"))), kind: "noName" },
    {
      why: "two lists: another parser may take the other one",
      bytes: made(Buffer.concat([serverName(entry("a.example")), serverName(entry("b.example"))])),
      kind: "noName",
    },
    { why: "a name of another type", bytes: made(serverName(entry("a.example", 1))), kind: "noName" },
    {
      why: "an extension that is longer than the hello",
      bytes: made(Buffer.from([0, 0, 0xff, 0xff, 0])),
      kind: "notTls",
    },
    { why: "plain HTTP", bytes: Buffer.from("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), kind: "notTls" },
    { why: "ssh", bytes: Buffer.from("SSH-2.0-OpenSSH_9.2\r\n"), kind: "notTls" },
    { why: "SSL 2", bytes: Buffer.from([0x80, 0x2e, 1, 3, 1, 0, 0x15]), kind: "notTls" },
    { why: "another handshake message", bytes: Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]), kind: "notTls" },
    { why: "an alert", bytes: Buffer.from([21, 3, 1, 0, 2, 1, 0]), kind: "notTls" },
    { why: "an empty record", bytes: Buffer.from([22, 3, 1, 0, 0]), kind: "notTls" },
    { why: "a record that is too long", bytes: Buffer.from([22, 3, 1, 0xff, 0xff]), kind: "notTls" },
    { why: "a message that is too long", bytes: Buffer.from([22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff]), kind: "notTls" },
    { why: "a record for each byte", bytes: inRecords(real, 1), kind: "notTls" },
    { why: "a hello without end", bytes: Buffer.alloc(helloBytesMax, real.subarray(0, 9)), kind: "notTls" },
  ])("$why: $kind", ({ bytes, kind }) => {
    expect(readClientHello(bytes)).toEqual({ kind });
  });

  it("whatever byte of a real one is changed, it names the host, another host, or nothing: never a throw", () => {
    for (let at = 0; at < real.length; at++) {
      const changed = Buffer.from(real);
      changed[at] = (changed[at] ?? 0) ^ 0xff;
      expect(["name", "noName", "notTls", "incomplete"]).toContain(readClientHello(changed).kind);
    }
  });
});
