/**
 * Garbage of network buffers, kept small. Each chunk of a request body is a buffer of its own outside V8's heap, and V8
 * looks for dead ones only after tens of megabytes of them: measured, an upload that is read and dropped grows the process
 * by 57 MB, ten at once by 158 MB. A minor collection after every 8 MiB received keeps one 500 MB upload at 37 MB and ten
 * at once at 46 MB, with no loss of speed that could be seen (test/archive/upload-memory.test.ts measures it).
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const COLLECT_EVERY_BYTES = 8 * 1024 ** 2;

type Collect = (options: { readonly type: "minor" | "major" }) => void;

let collect: Collect | undefined;
let sinceBytes = 0;

/** Counts bytes received by the whole process and collects when it is time. */
export function receivedBytes(count: number): void {
  sinceBytes += count;
  if (sinceBytes < COLLECT_EVERY_BYTES) return;
  sinceBytes = 0;
  collect ??= findCollector();
  collect({ type: "minor" });
}

/** V8 shows its collector to contexts made while the flag is set; ours is such a one, and no other code gets it. */
function findCollector(): Collect {
  setFlagsFromString("--expose-gc");
  const found: unknown = runInNewContext("globalThis.gc");
  setFlagsFromString("--no-expose-gc");
  return typeof found === "function" ? (found as Collect) : () => undefined;
}
