/** Run by hostility.docker.test.ts in a process of its own: how much 10 GB of output grow the server's memory. */
import { bash, megabyte, specOf } from "../contract.ts";
import { makeSubject } from "../engine.ts";

const { host, instance, image, dispose } = await makeSubject();
const resources = { memoryBytes: 256 * megabyte, cpus: 2, pidsMax: 64, diskBytes: 64 * megabyte };
const sandbox = await host.open(specOf(instance, image, { resources }));
await sandbox.run(bash("head -c 100M /dev/zero", { floodBytesMax: 2 ** 40 }));
globalThis.gc?.();
const before = process.memoryUsage().rss;
let most = before;
const sampling = setInterval(() => {
  most = Math.max(most, process.memoryUsage().rss);
}, 10);
const flood = bash("head -c 10G /dev/zero", { floodBytesMax: 2 ** 40, timeoutMs: 150_000 });
const { outcome, output, durationMs } = await sandbox.run(flood);
clearInterval(sampling);
most = Math.max(most, process.memoryUsage().rss);
await sandbox.close();
await dispose();
const { totalBytes, truncated } = output;
process.stdout.write(JSON.stringify({ outcome, totalBytes, truncated, grownBytes: most - before, durationMs }));
