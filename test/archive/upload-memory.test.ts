/**
 * Memory while uploads are received over real sockets. The unit suite sends 64 MB ten times at once; with UPLOAD_FULL=1 it
 * is the whole claim: one of 500 MB below 64 MB, ten at once below 128 MB. The receiver runs in a process of its own.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { expect, test } from "vitest";
import { formEnd, formType, partHead } from "./form.ts";
import { namesIn, scratchFolder } from "./support.ts";

const scratch = scratchFolder();
const mebibyte = 1024 ** 2;
const isFull = process.env.UPLOAD_FULL === "1";
if (!isFull) console.log('skipped: "ten uploads of 500 MB at once"; set UPLOAD_FULL=1 (needs 5 GB of disk)');

const rows = [
  { count: 1, bytes: 64 * mebibyte, growthMax: 64 * mebibyte, full: false },
  { count: 10, bytes: 64 * mebibyte, growthMax: 128 * mebibyte, full: false },
  { count: 1, bytes: 500 * mebibyte, growthMax: 64 * mebibyte, full: true },
  { count: 10, bytes: 500 * mebibyte, growthMax: 128 * mebibyte, full: true },
];

test.each(rows.filter((row) => row.full === isFull))(
  "U06 $count × $bytes bytes at once",
  async ({ count, bytes, growthMax }) => {
    const folder = scratch.path(`spool-${count}-${bytes}`);
    const server = fork(resolve(import.meta.dirname, "upload-memory.server.ts"), [folder], { execArgv: [] });
    try {
      const port = await said<number>(server, "port");
      await send(port, mebibyte); // what is loaded and compiled at the first upload is not growth
      const before = await ask(server);
      const digests = await Promise.all(Array.from({ length: count }, () => send(port, bytes)));
      const growth = (await ask(server)) - before;
      console.log(
        `${count} × ${bytes / mebibyte} MB: resident memory grew by ${(growth / mebibyte).toFixed(1)} MB at most`,
      );
      expect(new Set(digests).size).toBe(1);
      expect(growth).toBeLessThan(growthMax);
      expect(await namesIn(folder)).toEqual([]);
    } finally {
      server.kill();
    }
  },
  600_000,
);

/** Highest resident memory since the last question, bytes. */
async function ask(server: ChildProcess): Promise<number> {
  server.send("peak");
  return await said<number>(server, "peak");
}

async function said<T>(server: ChildProcess, key: string): Promise<T> {
  for (;;) {
    const [message] = (await once(server, "message")) as [Record<string, T>];
    if (message[key] !== undefined) return message[key];
  }
}

/** Uploads an archive of `bytes` zeros. @returns the digest that the server answered */
async function send(port: number, bytes: number): Promise<string> {
  const head = partHead({ name: "archive", filename: "a.zip" });
  const length = head.length + bytes + 2 + formEnd.length;
  const call = request({ port, method: "POST", headers: { "content-type": formType, "content-length": length } });
  const answered = once(call, "response");
  await pipeline(async function* () {
    yield head;
    const block = Buffer.alloc(256 * 1024);
    for (let sent = 0; sent < bytes; sent += block.length)
      yield block.subarray(0, Math.min(block.length, bytes - sent));
    yield Buffer.from("\r\n");
    yield formEnd;
  }, call);
  const [response] = (await answered) as [import("node:http").IncomingMessage];
  return Buffer.concat(await response.toArray()).toString();
}
