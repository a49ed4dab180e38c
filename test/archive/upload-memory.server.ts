/** The receiving side of upload-memory.test.ts: receives, answers the digest, and tells its peak of resident memory. */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { createReceiver } from "../../src/archive/upload.ts";
import { systemClock } from "../../src/kernel/clock.ts";

const receiver = createReceiver({
  folder: process.argv[2] ?? "",
  archiveBytesMax: 600 * 1024 ** 2,
  timeoutMs: 600_000,
  idleMs: 60_000,
  uploadsMax: 16,
  clock: systemClock,
});
let peak = 0;
setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss());
}, 20).unref();
process.on("message", () => {
  process.send?.({ peak: Math.max(peak, process.memoryUsage.rss()) });
  peak = 0;
});

const server = createServer(async (request, response) => {
  try {
    response.end(await digestOf(request));
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
});
async function digestOf(request: IncomingMessage): Promise<string> {
  await using archive = await receiver.receive({ body: request, contentType: request.headers["content-type"] });
  return archive.digest;
}

server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
