/** The hash that binds a batch's results; its bytes are fixed by the wire contract. */
import { createHash } from "node:crypto";

export interface HashedResult {
  readonly taskId: string;
  readonly passed: boolean | null;
  readonly reward: number;
}

/**
 * SHA-256 over: batch_id, then for each task in order of task_id: task_id, `1` or `0`, the reward as 8 little-endian
 * bytes of a double. Ids are compared by their UTF-8 bytes; only `passed: true` is `1`.
 * @returns 64 lower-case hex digits
 */
export function resultsHash(batchId: string, results: readonly HashedResult[]): string {
  const hash = createHash("sha256").update(batchId, "utf8");
  const ordered = results
    .map((result) => ({ ...result, id: Buffer.from(result.taskId, "utf8") }))
    .sort((a, b) => Buffer.compare(a.id, b.id));
  for (const { id, passed, reward } of ordered) {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(reward);
    hash
      .update(id)
      .update(passed === true ? "1" : "0")
      .update(bytes);
  }
  return hash.digest("hex");
}
