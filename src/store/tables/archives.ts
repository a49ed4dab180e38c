/** Queries on archives: one row per distinct digest. */
import type { Selectable } from "kysely";
import type { Db } from "../port.ts";
import type { ArchiveTable } from "../schema.ts";

export type ArchiveRow = Selectable<ArchiveTable>;

export interface NewArchive {
  readonly digest: string;
  readonly sizeBytes: number;
  readonly taskCount: number;
  /** blob of the JSON of Submission */
  readonly submissionBlob: string;
  readonly createdAt: Date;
}

export async function findArchive(db: Db, digest: string): Promise<ArchiveRow | undefined> {
  return db.selectFrom("archives").selectAll().where("digest", "=", digest).executeTakeFirst();
}

/** Records an archive; one that is known already stays as it is. */
export async function recordArchive(db: Db, archive: NewArchive): Promise<void> {
  await db
    .insertInto("archives")
    .values({
      digest: archive.digest,
      size_bytes: archive.sizeBytes,
      task_count: archive.taskCount,
      submission_blob: archive.submissionBlob,
      created_at: archive.createdAt,
    })
    .onConflict((conflict) => conflict.column("digest").doNothing())
    .execute();
}
