/** Clients that do not read: what the server holds for them is bounded, and they are dropped at a deadline. */
import { get } from "node:http";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { JournalEvent } from "../../src/journal/events.ts";
import type { Journal } from "../../src/journal/port.ts";
import type { BatchId } from "../../src/kernel/ids.ts";
import { closed, dial, type Kit, openKit } from "./kit.ts";

const TEXT = "x".repeat(16 * 1024);
const MB = 1024 * 1024;
/** What kernel buffers of both ends may swallow on loopback. */
const KERNEL_BYTES_MAX = 24 * MB;
const HELD_BYTES_MAX = 32 * MB;
/** For forty readers, whose own sockets stand in this process too; bodies of 120 MB each would show all the same. */
const HELD_BY_FORTY_BYTES_MAX = 96 * MB;

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

let kit: Kit;
let id: BatchId;
let pulled = 0;

/** An agent that prints without end. */
const endless: Pick<Journal, "follow"> = {
  async *follow(batchId, since, signal) {
    for (let seq = since + 1; !signal.aborted; seq++) {
      pulled += 1;
      const data = { phase: "agent", stream: "stdout", text: TEXT };
      yield { batchId, seq, at: new Date(0), event: "log", taskId: "a", data } satisfies JournalEvent;
    }
  },
};

beforeAll(async () => {
  kit = await openKit({ journal: endless, bounds: { stallMs: 1_500, outputWaitMs: 2_500 } });
  id = await kit.addBatch({});
}, 60_000);
afterAll(() => kit[Symbol.asyncDispose](), 60_000);

describe.each(["sse", "ws"] as const)("%s", (transport) => {
  it("10 followers that read nothing: bounded memory, dropped at the deadline, places free", {
    timeout: 60_000,
  }, async () => {
    pulled = 0;
    const before = heldBytes();
    const sockets = await Promise.all(Array.from({ length: 10 }, () => dial(kit.port)));
    for (const socket of sockets) {
      socket.on("error", () => {});
      socket.pause();
      socket.write(request(transport));
    }
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, heldBytes() - before);
    }, 250);
    await metric(`proctor_followers_dropped_total{transport="${transport}"} 10`);
    clearInterval(watch);
    await metric(`proctor_followers{transport="${transport}"} 0`);
    for (const socket of sockets) socket.destroy();
    expect(most, `held at most ${Math.round(most / MB)} MB`).toBeLessThan(HELD_BYTES_MAX);
    expect((pulled * TEXT.length) / 10, "events are read at the client's pace").toBeLessThan(KERNEL_BYTES_MAX);
  });
});

describe("/batch/{id}/tasks", () => {
  const TASKS = 40;
  let batch: BatchId;
  beforeAll(async () => {
    batch = await kit.addBatch({ totalTasks: TASKS });
    const text = `${"é".repeat(MB / 2 - 1)}\n`;
    for (let ordinal = 0; ordinal < TASKS; ordinal++) {
      const texts = { test: text, agent: text, patch: text };
      await kit.addTask(batch, { taskId: `task-${ordinal}`, ordinal, status: "completed", passed: true, texts });
    }
  });

  it("120 MB of outputs pass through without being held", { timeout: 60_000 }, async () => {
    const before = heldBytes();
    let most = 0;
    let bytes = 0;
    let pieces = 0;
    let tail = "";
    await new Promise<void>((resolve, reject) => {
      get(`${kit.url}/batch/${batch}/tasks`, (response) => {
        response.on("data", (piece: Buffer) => {
          bytes += piece.length;
          tail = piece.subarray(-2).toString();
          pieces += 1;
          if (pieces % 100 === 0) most = Math.max(most, heldBytes() - before);
        });
        response.on("end", resolve);
        response.on("error", reject);
      }).on("error", reject);
    });
    expect(bytes).toBeGreaterThan(TASKS * 3 * MB);
    expect(tail).toBe("]}");
    expect(most, `held at most ${Math.round(most / MB)} MB`).toBeLessThan(HELD_BYTES_MAX);
  });

  it("40 readers that take nothing: 16 hold a place, the others wait their turn, all are cut off or refused", {
    timeout: 60_000,
  }, async () => {
    const before = heldBytes();
    const sockets = await Promise.all(Array.from({ length: 40 }, () => dial(kit.port)));
    let most = 0;
    const watch = setInterval(() => {
      most = Math.max(most, heldBytes() - before);
    }, 250);
    for (const socket of sockets) {
      socket.on("error", () => {});
      socket.pause();
      socket.write(`GET /batch/${batch}/tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    }
    kit.logLines.length = 0;
    while (kit.logLines.filter((line) => /client_stalled|too_many_requests/.test(line)).length < 40) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    clearInterval(watch);
    for (const socket of sockets) socket.resume();
    await Promise.all(sockets.map(closed));
    expect(most, `held at most ${Math.round(most / MB)} MB`).toBeLessThan(HELD_BY_FORTY_BYTES_MAX);
  });
});

function request(transport: "sse" | "ws"): string {
  if (transport === "sse") return `GET /batch/${id}/events HTTP/1.1\r\nHost: x\r\n\r\n`;
  return `GET /ws?batch_id=${id} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;
}

/** Waits until a scrape holds `line`. */
async function metric(line: string): Promise<void> {
  while (!(await (await kit.get("/metrics")).text()).includes(line)) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** JavaScript heap and buffers that are really held; not the resident set, which keeps what the embedded store once needed. */
function heldBytes(): number {
  collectGarbage();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + Math.max(external, arrayBuffers);
}
