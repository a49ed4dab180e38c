/** Keeping what was read: the archive, the agent's tar and the Submission as blobs, and the row that names them. */
import { createHash } from "node:crypto";
import { AppError } from "../kernel/errors.ts";
import type { Digest } from "../kernel/ids.ts";
import { canonicalJson, type Json } from "../kernel/json.ts";
import type { BlobStore, Store } from "../store/port.ts";
import { findArchive, recordArchive } from "../store/tables/archives.ts";
import type { ReadSubmission } from "./read-submission.ts";
import type { Submission } from "./submission.ts";
import type { ReceivedArchive } from "./upload.ts";

/**
 * Blobs first, the row last: a row never names a blob that isn't there. When a step fails, the blobs that this call made
 * are removed again. @throws AppError `store_unavailable`, `disk_full`, …
 */
export async function keepSubmission(
  store: Store,
  blobs: BlobStore,
  archive: ReceivedArchive,
  read: ReadSubmission,
  now: Date,
): Promise<void> {
  const { submission, agent } = read;
  const json = canonicalJson(submission as unknown as Json);
  const submissionBlob = createHash("sha256").update(json).digest("hex");
  const made: string[] = [];
  const keep = async (digest: string, put: () => Promise<unknown>) => {
    const isNew = !(await blobs.has(digest));
    await put();
    if (isNew) made.push(digest);
  };
  try {
    await keep(agent.spec.digest, () => blobs.adopt(agent.path, agent.spec.digest));
    await keep(submissionBlob, () => blobs.put(json));
    await keep(archive.digest, () => blobs.adopt(archive.path, archive.digest));
    await recordArchive(store.db, {
      digest: archive.digest,
      sizeBytes: archive.sizeBytes,
      taskCount: submission.tasks.length,
      submissionBlob,
      createdAt: now,
    });
  } catch (error) {
    for (const digest of made) await blobs.remove(digest).catch(() => undefined);
    throw error;
  }
}

/**
 * The kept Submission of an archive; its blob's digest vouches for its shape, which `readSubmission` checked.
 * @returns undefined where no such archive is kept, or its blob is lost (it is read again then)
 * @throws AppError `internal` where the blob's bytes are not what was kept
 */
export async function submissionOf(store: Store, blobs: BlobStore, digest: Digest): Promise<Submission | undefined> {
  const row = await findArchive(store.db, digest);
  const bytes = row === undefined ? undefined : await blobs.get(row.submission_blob);
  if (row === undefined || bytes === undefined) return undefined;
  if (createHash("sha256").update(bytes).digest("hex") !== row.submission_blob) {
    throw new AppError(
      "internal",
      `the kept submission of archive ${digest} is damaged; restore DATA_DIR from a backup`,
    );
  }
  return JSON.parse(bytes.toString("utf8")) as Submission;
}
