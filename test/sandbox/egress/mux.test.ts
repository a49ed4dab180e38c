/** The host's half of the relay's protocol: flow control in both directions, and every frame that may not come. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import { chunkBytesMax, Mux, muxFrame, streamsMax, windowBytes } from "../../../src/sandbox/egress/mux.ts";

function frame(type: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUInt32LE(payload.length, 0);
  head.writeUInt8(type, 4);
  head.writeUInt32LE(id, 5);
  return Buffer.concat([head, payload]);
}
const credit = (bytes: number) => {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(bytes);
  return payload;
};
const { ready, open, data, end, reset } = muxFrame;

/** A relay in the hand of the test. */
function relay() {
  const connections: Duplex[] = [];
  const broken: string[] = [];
  let readyCount = 0;
  const mux = new Mux({
    onReady: () => readyCount++,
    onConnection: (connection) => {
      connection.on("error", () => {});
      connections.push(connection);
    },
    onBroken: (why) => broken.push(why),
  });
  const said = () => {
    const bytes = (mux.toRelay.read() as Buffer | null) ?? Buffer.alloc(0);
    const frames: { type: number; id: number; payload: Buffer }[] = [];
    for (let at = 0; at < bytes.length; ) {
      const length = bytes.readUInt32LE(at);
      frames.push({
        type: bytes.readUInt8(at + 4),
        id: bytes.readUInt32LE(at + 5),
        payload: bytes.subarray(at + 9, at + 9 + length),
      });
      at += 9 + length;
    }
    return frames;
  };
  return { mux, connections, broken, said, readyCount: () => readyCount };
}

/** One that has a stream open. */
function opened() {
  const made = relay();
  made.mux.push(Buffer.concat([frame(ready, 0), frame(open, 1)]));
  const [stream] = made.connections;
  if (stream === undefined) throw new Error("no stream");
  return { ...made, stream };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("the multiplexed line", () => {
  it("takes frames however they are cut", async () => {
    const { mux, connections, readyCount } = relay();
    const bytes = Buffer.concat([frame(ready, 0), frame(open, 1), frame(data, 1, Buffer.from("hello")), frame(end, 1)]);
    for (const byte of bytes) mux.push(Buffer.from([byte]));
    expect(readyCount()).toBe(1);
    const chunks = (await connections[0]?.toArray()) as Buffer[];
    expect(Buffer.concat(chunks).toString()).toBe("hello");
  });

  it("never sends more than was granted, and goes on when more is", async () => {
    const { mux, stream, said } = opened();
    let isWritten = false;
    stream.write(Buffer.alloc(windowBytes + 10_000), () => {
      isWritten = true;
    });
    const first = said();
    expect(first.every(({ type, payload }) => type === data && payload.length <= chunkBytesMax)).toBe(true);
    expect(first.reduce((sum, { payload }) => sum + payload.length, 0)).toBe(windowBytes);
    expect(isWritten).toBe(false);
    mux.push(frame(muxFrame.credit, 1, credit(20_000)));
    expect(said().reduce((sum, { payload }) => sum + payload.length, 0)).toBe(10_000);
    await settled();
    expect(isWritten).toBe(true);
  });

  it("grants no more while nobody reads: a client that sends can't fill the server", async () => {
    const { mux, stream, said, broken } = opened();
    for (let sent = 0; sent < windowBytes; sent += chunkBytesMax) mux.push(frame(data, 1, Buffer.alloc(chunkBytesMax)));
    await settled();
    const granted = said().reduce((sum, { payload }) => sum + payload.readUInt32LE(0), 0);
    expect(granted).toBeLessThan(windowBytes);
    stream.resume();
    await settled();
    expect(granted + said().reduce((sum, { payload }) => sum + payload.readUInt32LE(0), 0)).toBe(windowBytes);
    expect(broken).toEqual([]);
  });

  it("passes ends on, each side's own, and forgets a stream when both have ended", async () => {
    const { mux, stream, said, broken } = opened();
    stream.resume();
    stream.end("bye");
    await settled();
    expect(said().map(({ type }) => type)).toEqual([data, end]);
    mux.push(frame(data, 1, Buffer.from("late")));
    mux.push(frame(end, 1));
    await once(stream, "close");
    mux.push(frame(muxFrame.credit, 1, credit(1)));
    expect(said()).toEqual([]);
    expect(broken).toEqual([]);
  });

  it("a stream that this side breaks is reset; what of it was on its way is ignored", async () => {
    const { mux, stream, said, broken } = opened();
    stream.destroy();
    await settled();
    expect(said().map(({ type }) => type)).toEqual([reset]);
    mux.push(frame(data, 1, Buffer.from("late")));
    mux.push(frame(end, 1));
    expect(broken).toEqual([]);
  });

  it("a client that breaks off ends its stream, and only that", async () => {
    const { mux, stream, connections, said } = opened();
    mux.push(frame(open, 2));
    mux.push(frame(reset, 1));
    await once(stream, "close");
    expect(said()).toEqual([]);
    expect(connections[1]?.destroyed).toBe(false);
  });

  it("closing ends every stream and the relay's stdin", async () => {
    const { mux, stream } = opened();
    mux.close();
    mux.toRelay.resume();
    await once(mux.toRelay, "end");
    expect(stream.destroyed).toBe(true);
  });

  it.each([
    { why: "a connection before it is ready", bytes: frame(open, 1) },
    { why: "ready twice", bytes: Buffer.concat([frame(ready, 0), frame(ready, 0)]) },
    { why: "data of no stream", bytes: Buffer.concat([frame(ready, 0), frame(data, 7, Buffer.from("x"))]) },
    { why: "stream 0", bytes: Buffer.concat([frame(ready, 0), frame(open, 0)]) },
    { why: "a number again", bytes: Buffer.concat([frame(ready, 0), frame(open, 2), frame(open, 2)]) },
    { why: "a lower number", bytes: Buffer.concat([frame(ready, 0), frame(open, 2), frame(open, 1)]) },
    { why: "an unknown frame", bytes: Buffer.concat([frame(ready, 0), frame(open, 1), frame(9, 1)]) },
    { why: "empty data", bytes: Buffer.concat([frame(ready, 0), frame(open, 1), frame(data, 1)]) },
    { why: "a second end", bytes: Buffer.concat([frame(ready, 0), frame(open, 1), frame(end, 1), frame(end, 1)]) },
    {
      why: "data after its end",
      bytes: Buffer.concat([frame(ready, 0), frame(open, 1), frame(end, 1), frame(data, 1, Buffer.from("x"))]),
    },
    {
      why: "credit for what was never sent",
      bytes: Buffer.concat([frame(ready, 0), frame(open, 1), frame(muxFrame.credit, 1, credit(1))]),
    },
    {
      why: "half a credit",
      bytes: Buffer.concat([frame(ready, 0), frame(open, 1), frame(muxFrame.credit, 1, Buffer.alloc(2))]),
    },
    { why: "a frame that is too long", bytes: frame(ready, 0, Buffer.alloc(chunkBytesMax + 1)) },
    {
      why: "more data than was granted",
      bytes: Buffer.concat([
        frame(ready, 0),
        frame(open, 1),
        ...Array.from({ length: windowBytes / chunkBytesMax + 6 }, () => frame(data, 1, Buffer.alloc(chunkBytesMax))),
      ]),
    },
    {
      why: "more connections at once than the relay can have",
      bytes: Buffer.concat([
        frame(ready, 0),
        ...Array.from({ length: 2 * streamsMax + 1 }, (_, i) => frame(open, i + 1)),
      ]),
    },
  ])("$why ends the line, once", ({ bytes }) => {
    const { mux, broken, connections } = relay();
    mux.push(bytes);
    mux.push(frame(open, 99));
    expect(broken).toHaveLength(1);
    expect(connections.every((stream) => stream.destroyed)).toBe(true);
  });
});
