/** Live progress: the same events on SSE and WebSocket, nothing lost, nothing twice, and an end. */
import { setImmediate } from "node:timers/promises";
import * as v from "valibot";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { eventWire } from "../../src/api/wire/event.ts";
import type { NewEvent } from "../../src/journal/events.ts";
import type { BatchId } from "../../src/kernel/ids.ts";
import { openSocket, openSse } from "./followers.ts";
import { dial, type Kit, openKit } from "./kit.ts";

const log = (text: string): NewEvent => ({
  event: "log",
  taskId: "a",
  data: { phase: "agent", stream: "stdout", text },
});
const complete: NewEvent = {
  event: "batch_complete",
  data: { status: "completed", total: 1, passed: 1, failed: 0, reward: 1, duration_ms: 5 },
};
const unknownId = "0b5f9b1e-6d2b-4f52-9d0a-4a5b0c1d2e3f";

let kit: Kit;
beforeAll(async () => {
  kit = await openKit({ bounds: { heartbeatMs: 200 } });
}, 60_000);
afterAll(() => kit[Symbol.asyncDispose](), 60_000);

const sse = (id: string, query = "", headers: Record<string, string> = {}) =>
  openSse(`${kit.url}/batch/${id}/events${query}`, headers);
const ws = (id: string, query = "") => openSocket(`${kit.url}/ws?batch_id=${id}${query}`);

async function endedBatch(): Promise<{ id: BatchId; head: number }> {
  const id = await kit.addBatch({ totalTasks: 1 });
  await kit.addTask(id, { taskId: "a", ordinal: 0, status: "completed", passed: true });
  const head = await kit.append(id, [log("1"), log("2"), complete], "completed");
  return { id, head };
}

describe.each(["sse", "ws"] as const)("%s", (transport) => {
  const open = async (id: string, query = "") => (transport === "sse" ? sse(id, query) : ws(id, query));

  it("snapshot first, then what happens, then stream_closed, then the end", async () => {
    const id = await kit.addBatch({ totalTasks: 1 });
    await kit.addTask(id, { taskId: "a", ordinal: 0, status: "running_agent" });
    await kit.append(id, [{ event: "batch_started", data: { total_tasks: 1, concurrent_limit: 1 } }, log("before")]);
    const client = await open(id);
    await client.until(1);
    await kit.append(id, [log("after")]);
    await client.until(2);
    await kit.append(id, [complete], "completed");
    await ("closed" in client ? client.closed : client.ended());
    for (const event of client.events) v.parse(eventWire, event);
    expect(client.events.map(({ event, seq }) => [event, seq])).toEqual([
      ["snapshot", 2],
      ["log", 3],
      ["batch_complete", 4],
      ["stream_closed", 5],
    ]);
    expect(client.events[0]?.data).toMatchObject({
      status: "running",
      total_tasks: 1,
      completed_tasks: 0,
      aggregate_reward: 0,
      tasks: [{ task_id: "a", status: "running_agent" }],
    });
    expect(client.events[1]).toMatchObject({ batch_id: id, task_id: "a", data: { text: "after" } });
    if ("closed" in client) expect(await client.closed).toBe(1000);
  });

  it("an ended batch: its snapshot, then the end", async () => {
    const { id, head } = await endedBatch();
    const client = await open(id);
    await ("closed" in client ? client.closed : client.ended());
    expect(client.events.map(({ event, seq }) => [event, seq])).toEqual([
      ["snapshot", head],
      ["stream_closed", head + 1],
    ]);
  });

  it("since: exactly the events after it, no snapshot", async () => {
    const { id, head } = await endedBatch();
    const client = await open(id, transport === "sse" ? "?since=1" : "&since=1");
    await ("closed" in client ? client.closed : client.ended());
    expect(client.events.map(({ event, seq }) => [event, seq])).toEqual([
      ["log", 2],
      ["batch_complete", 3],
      ["stream_closed", head + 1],
    ]);
  });

  it("a ballot that expires without a last event ends the stream too", async () => {
    const id = await kit.addBatch({ status: "pending" });
    const client = await open(id);
    await client.until(1);
    await kit.deps.store.db.updateTable("batches").set({ status: "failed" }).where("batch_id", "=", id).execute();
    await ("closed" in client ? client.closed : client.ended());
    expect(client.events.map(({ event }) => event)).toEqual(["snapshot", "stream_closed"]);
  });

  it("H04: 20 clients that come and go while 400 events happen: no gap, no double", { timeout: 60_000 }, async () => {
    const id = await kit.addBatch({ totalTasks: 1 });
    const follow = async (restartEvery: number) => {
      const seqs: number[] = [];
      let first = -1;
      let last: number | undefined;
      for (;;) {
        const query = last === undefined ? "" : `${transport === "sse" ? "?" : "&"}since=${last}`;
        const client = await open(id, query);
        await client.until(restartEvery);
        if ("closed" in client) client.socket.terminate();
        else client.close();
        for (const { event, seq } of [...client.events]) {
          if (event === "snapshot") first = seq;
          else if (event !== "stream_closed") seqs.push(seq);
          last = seq;
          if (event === "stream_closed") return { first, seqs };
        }
      }
    };
    const clients: Promise<{ first: number; seqs: number[] }>[] = [];
    for (let i = 0; i < 100; i++) {
      await kit.append(id, [log(`${i}a`), log(`${i}b`), log(`${i}c`), log(`${i}d`)]);
      if (i % 5 === 0) clients.push(follow(7 + i));
      // The embedded store answers within one turn of the event loop: without this no socket would be looked at.
      for (let turn = 0; turn < 5; turn++) await setImmediate();
    }
    await kit.append(id, [complete], "completed");
    const all = await Promise.all(clients);
    expect(new Set(all.map(({ first }) => first)).size, "they came at different times").toBeGreaterThan(5);
    for (const { first, seqs } of all) {
      expect(seqs).toEqual(Array.from({ length: 401 - first }, (_, i) => first + 1 + i));
    }
  });

  it("PUBLIC_OUTPUTS=summary keeps a log's place and withholds its text", async () => {
    await using quiet = await openKit({
      beside: kit,
      environment: { PUBLIC_OUTPUTS: "summary", READ_TOKEN: "reader-token" },
    });
    const id = await quiet.addBatch({});
    await quiet.append(id, [log("hidden"), complete], "completed");
    const path = transport === "sse" ? `/batch/${id}/events?since=0` : `/ws?batch_id=${id}&since=0`;
    const read = async (url: string) => {
      const client = transport === "sse" ? await openSse(url) : await openSocket(url);
      await ("closed" in client ? client.closed : client.ended());
      return client.events[0]?.data;
    };
    expect(await read(quiet.url + path)).toMatchObject({ text: "", withheld: true });
    expect(await read(`${quiet.url}${path}&token=reader-token`)).toMatchObject({ text: "hidden" });
  });

  it("when the server closes, followers are told and may resume elsewhere", async () => {
    const closing = await openKit({ beside: kit });
    const id = await closing.addBatch({});
    const path = transport === "sse" ? `/batch/${id}/events` : `/ws?batch_id=${id}`;
    const client = transport === "sse" ? await openSse(closing.url + path) : await openSocket(closing.url + path);
    await client.until(1);
    await closing.listening.close(5_000);
    await ("closed" in client ? client.closed : client.ended());
    expect(client.events.at(-1)).toMatchObject({ event: "stream_closed", seq: 0, data: { reason: "server_closing" } });
    await closing[Symbol.asyncDispose]();
  });
});

it("100 SSE and 100 WebSocket clients follow one batch: every event once, to each", { timeout: 60_000 }, async () => {
  const id = await kit.addBatch({ totalTasks: 1 });
  const sses = await Promise.all(Array.from({ length: 100 }, () => sse(id)));
  const sockets = await Promise.all(Array.from({ length: 100 }, () => ws(id)));
  await Promise.all([...sses, ...sockets].map((client) => client.until(1)));
  for (let i = 0; i < 50; i++) await kit.append(id, [log("a"), log("b"), log("c"), log("d")]);
  await kit.append(id, [complete], "completed");
  await Promise.all([...sses.map((client) => client.ended()), ...sockets.map((client) => client.closed)]);
  const expected = [0, ...Array.from({ length: 202 }, (_, i) => i + 1)];
  for (const client of [...sses, ...sockets]) expect(client.events.map(({ seq }) => seq)).toEqual(expected);
});

describe("SSE alone", () => {
  it("EventSource's last id after the end is 204; a newer header beats an older since", async () => {
    const { id, head } = await endedBatch();
    const last = { "Last-Event-ID": String(head) };
    expect((await kit.get(`/batch/${id}/events`, { headers: last })).status).toBe(204);
    expect((await kit.get(`/batch/${id}/events?since=1`, { headers: last })).status).toBe(204);
  });

  it("ids are the sequence numbers", async () => {
    const { id, head } = await endedBatch();
    const client = await sse(id, "?since=0");
    await client.ended();
    expect(client.ids).toEqual([1, 2, 3, head + 1]);
    expect(client.response.headers["content-type"]).toBe("text/event-stream");
  });

  it.each([unknownId, "nope"])("unknown id %s: 404 batch_not_found with the id", async (id) => {
    const answer = await kit.get(`/batch/${id}/events`);
    expect([answer.status, await answer.json()]).toMatchObject([404, { error: "batch_not_found", batch_id: id }]);
  });

  it.each(["since=-1", "since=x", "since=1.5", "since=1&since=2", "since=99999999999999999999"])(
    "?%s is 400 by name",
    async (query) => {
      const { id } = await endedBatch();
      const answer = await kit.get(`/batch/${id}/events?${query}`);
      expect([answer.status, await answer.json()]).toMatchObject([400, { error: "invalid_request", field: "since" }]);
    },
  );

  it("an empty since is none: it begins with the snapshot", async () => {
    const { id } = await endedBatch();
    const client = await sse(id, "?since=");
    await client.ended();
    expect(client.events.map(({ event }) => event)).toEqual(["snapshot", "stream_closed"]);
  });

  it("silence is filled with comments", async () => {
    const id = await kit.addBatch({});
    const client = await sse(id);
    let text = "";
    await new Promise<void>((resolve) => {
      client.response.on("data", (piece: string) => {
        text += piece;
        if (text.includes(": keep-alive\n\n")) resolve();
      });
    });
    client.close();
  });
});

describe("WebSocket alone", () => {
  it.each([unknownId, "nope"])("unknown id %s: told, then closed", async (id) => {
    const client = await ws(id);
    expect(await client.closed).toBe(4404);
    expect(client.messages).toMatchObject([{ error: "batch_not_found", batch_id: id }]);
  });

  it.each(["batch_id=x&since=-1", "batch_id=x&since=a", "", "batch_id=a&batch_id=b"])(
    "%s: told why, then closed",
    async (query) => {
      const client = await openSocket(`${kit.url}/ws?${query}`);
      await client.closed;
      expect(client.messages).toMatchObject([{ error: "invalid_request", message: expect.any(String) }]);
    },
  );

  it("an odd id is not echoed", async () => {
    const client = await ws("%3Cscript%3E");
    await client.closed;
    expect(JSON.stringify(client.messages)).not.toContain("script");
  });

  it("GET without an upgrade is a clear 400; another path has no WebSocket", async () => {
    expect((await kit.get("/ws?batch_id=x")).status).toBe(400);
    const refused = await new Promise<number | undefined>((resolve) => {
      new WebSocket(`${kit.url.replace("http", "ws")}/health`)
        .on("unexpected-response", (_, response) => resolve(response.statusCode))
        .on("error", () => {});
    });
    expect(refused).toBe(200);
  });

  it("H05: a frame of 200 MB is refused by its head", async () => {
    const id = await kit.addBatch({});
    const socket = await upgraded(id);
    const head = Buffer.alloc(14);
    head.set([0x82, 0xff]);
    head.writeBigUInt64BE(200_000_000n, 2);
    const code = closeCodeOf(socket);
    socket.write(head);
    expect(await code).toBe(1009);
  });

  it("H05: a flood of pings is closed, and the server answers on", async () => {
    const id = await kit.addBatch({});
    const socket = await upgraded(id);
    const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    const ping = Buffer.from([0x89, 0x80, 0, 0, 0, 0]);
    const flood = Buffer.concat(Array.from({ length: 10_000 }, () => ping));
    const pump = () => {
      while (!socket.destroyed && socket.write(flood));
    };
    socket.on("drain", pump);
    pump();
    await gone;
    expect((await kit.get("/health")).status).toBe(200);
  });
});

describe("limits", () => {
  it("followers have an end, in all and per address: 503 in JSON on both transports", async () => {
    await using small = await openKit({ beside: kit, bounds: { followersPerAddressMax: 2 } });
    const id = await small.addBatch({});
    const first = await openSse(`${small.url}/batch/${id}/events`);
    const second = await openSocket(`${small.url}/ws?batch_id=${id}`);
    await Promise.all([first.until(1), second.until(1)]);
    const third = await small.get(`/batch/${id}/events`);
    expect([third.status, third.headers.get("retry-after"), await third.json()]).toMatchObject([
      503,
      "5",
      { error: "too_many_followers", limit_per_address: 2 },
    ]);
    const refused = await new Promise<number | undefined>((resolve) => {
      new WebSocket(`${small.url.replace("http", "ws")}/ws?batch_id=${id}`)
        .on("unexpected-response", (_, response) => resolve(response.statusCode))
        .on("error", () => {});
    });
    expect(refused).toBe(503);
    first.close();
    second.socket.terminate();
    await second.closed;
    // The place is free as soon as the server sees the client gone: the metric says when.
    for (;;) {
      const text = await (await small.get("/metrics")).text();
      if (/proctor_followers\{transport="sse"\} 0/.test(text) && /proctor_followers\{transport="ws"\} 0/.test(text))
        break;
    }
    const fourth = await openSse(`${small.url}/batch/${id}/events`);
    expect(fourth.response.statusCode).toBe(200);
    fourth.close();
  });
});

/** A raw connection that has become a WebSocket. */
async function upgraded(id: string) {
  const socket = await dial(kit.port);
  socket.on("error", () => {});
  socket.write(
    `GET /ws?batch_id=${id} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
  );
  await new Promise<void>((resolve) => socket.once("data", () => resolve()));
  return socket;
}

/** The code of the first close frame (short, unmasked) that comes. */
function closeCodeOf(socket: Awaited<ReturnType<typeof dial>>): Promise<number> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    socket.on("data", (piece) => {
      bytes = Buffer.concat([bytes, piece]);
      const at = bytes.indexOf(Buffer.from([0x88]));
      if (at !== -1 && bytes.length >= at + 4) resolve(bytes.readUInt16BE(at + 2));
    });
  });
}
