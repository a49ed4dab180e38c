/** What ballots read and write in the store. Every function runs inside the caller's transaction. */
import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import type { Submission } from "../archive/submission.ts";
import type { BatchId, Digest, PublicKeyHex } from "../kernel/ids.ts";
import type { BatchStatus } from "../kernel/outcome.ts";
import type { Db, Tx } from "../store/port.ts";
import type { Caller } from "./port.ts";

/** First half of the two-part advisory lock keys: what the second half is a name in. */
const LOCK_ARCHIVE = 0x50_42;
const LOCK_CAPACITY = 0x50_43;

export interface BallotRecord {
  readonly batchId: BatchId;
  readonly state: "open" | "reached" | "expired";
  readonly expiresAt: Date;
  readonly status: BatchStatus;
  readonly totalTasks: number;
  readonly concurrentTasks: number;
}

/**
 * Lets one transaction at a time change the ballots of an archive; held until it ends. Every statement after it sees what
 * the one before committed, since transactions are READ COMMITTED. Two digests may share a lock: they only wait longer.
 */
export async function lockArchive(tx: Tx, digest: Digest): Promise<void> {
  const half = Number.parseInt(digest.slice(0, 8), 16) | 0;
  await sql`select pg_advisory_xact_lock(${sql.lit(LOCK_ARCHIVE)}, ${sql.lit(half)})`.execute(tx);
}

/** Lets one transaction at a time open a ballot, so that the count before it is still true. Always after `lockArchive`. */
export async function lockCapacity(tx: Tx): Promise<void> {
  await sql`select pg_advisory_xact_lock(${sql.lit(LOCK_CAPACITY)}, 0)`.execute(tx);
}

/** The ballot of an archive that counts: the open one, else the newest. */
export async function findNewestBallot(db: Db, digest: Digest): Promise<BallotRecord | undefined> {
  const row = await newestBallot(db, digest).executeTakeFirst();
  return row === undefined ? undefined : toRecord(row);
}

/** The same, with its batch's row locked: whoever cancels or opens the batch waits, or is seen. */
export async function lockNewestBallot(tx: Tx, digest: Digest): Promise<BallotRecord | undefined> {
  const row = await newestBallot(tx, digest).forUpdate("batches").executeTakeFirst();
  return row === undefined ? undefined : toRecord(row);
}

function newestBallot(db: Db, digest: Digest) {
  return db
    .selectFrom("ballots")
    .innerJoin("batches", "batches.batch_id", "ballots.batch_id")
    .select(["ballots.batch_id", "ballots.state", "ballots.expires_at", "batches.status", "batches.total_tasks"])
    .select("batches.concurrent_tasks")
    .where("ballots.archive_digest", "=", digest)
    .orderBy(sql`ballots.state = 'open'`, "desc")
    .orderBy("ballots.opened_at", "desc")
    .limit(1);
}

type NewestBallotRow = NonNullable<Awaited<ReturnType<ReturnType<typeof newestBallot>["executeTakeFirst"]>>>;

function toRecord(row: NewestBallotRow): BallotRecord {
  return {
    batchId: row.batch_id as BatchId,
    state: row.state,
    expiresAt: row.expires_at,
    status: row.status,
    totalTasks: row.total_tasks,
    concurrentTasks: row.concurrent_tasks,
  };
}

/** Open ballots whose time is not up, by the key that opened them. */
export async function countOpenByKey(db: Db, now: Date): Promise<ReadonlyMap<string, number>> {
  const rows = await db
    .selectFrom("ballots")
    .select(["opened_by", sql<number>`count(*)::int`.as("count")])
    .where("state", "=", "open")
    .where("expires_at", ">", now)
    .groupBy("opened_by")
    .execute();
  return new Map(rows.map((row) => [row.opened_by, row.count]));
}

/** Opens a ballot: mints the batch id and records the waiting batch. The archive's row must be there. */
export async function insertBallot(
  tx: Tx,
  submission: Submission,
  openedBy: PublicKeyHex,
  now: Date,
  expiresAt: Date,
): Promise<BatchId> {
  const batchId = randomUUID() as BatchId;
  const archive_digest = submission.archiveDigest;
  await tx
    .insertInto("batches")
    .values({
      batch_id: batchId,
      archive_digest,
      status: "pending",
      error: null,
      total_tasks: submission.tasks.length,
      concurrent_tasks: 0,
      results_hash: null,
      created_at: now,
      last_progress_at: now,
    })
    .execute();
  await tx
    .insertInto("ballots")
    .values({
      batch_id: batchId,
      archive_digest,
      state: "open",
      opened_by: openedBy,
      opened_at: now,
      expires_at: expiresAt,
    })
    .execute();
  return batchId;
}

/** Records a vote with what proves it. @returns false where this key had voted on this ballot */
export async function insertVote(
  tx: Tx,
  batchId: BatchId,
  caller: Caller,
  concurrentTasks: number | undefined,
  now: Date,
): Promise<boolean> {
  const result = await tx
    .insertInto("votes")
    .values({
      batch_id: batchId,
      voter: caller.publicKey,
      hotkey: caller.hotkey,
      nonce: caller.nonce,
      signature: caller.signature,
      signature_version: caller.version,
      concurrent_tasks: concurrentTasks ?? null,
      cast_at: now,
    })
    .onConflict((conflict) => conflict.columns(["batch_id", "voter"]).doNothing())
    .executeTakeFirst();
  return result.numInsertedOrUpdatedRows === 1n;
}

export async function listVoters(db: Db, batchId: BatchId): Promise<readonly string[]> {
  const rows = await db.selectFrom("votes").select("voter").where("batch_id", "=", batchId).execute();
  return rows.map((row) => row.voter);
}

/** Ends an open ballot by its quorum, and fixes how many tasks run at once. @returns false where it was not open */
export async function markReached(tx: Tx, batchId: BatchId, concurrentTasks: number, now: Date): Promise<boolean> {
  const result = await tx
    .updateTable("ballots")
    .set({ state: "reached" })
    .where("batch_id", "=", batchId)
    .where("state", "=", "open")
    .executeTakeFirst();
  if (result.numUpdatedRows !== 1n) return false;
  await tx
    .updateTable("batches")
    .set({ concurrent_tasks: concurrentTasks, last_progress_at: now })
    .where("batch_id", "=", batchId)
    .execute();
  return true;
}

export async function extendBallot(tx: Tx, batchId: BatchId, expiresAt: Date): Promise<void> {
  await tx
    .updateTable("ballots")
    .set({ expires_at: expiresAt })
    .where("batch_id", "=", batchId)
    .where("state", "=", "open")
    .where("expires_at", "<", expiresAt)
    .execute();
}

export interface ExpiredBatch {
  readonly totalTasks: number;
  readonly createdAt: Date;
}

/** Ends a ballot, whatever its time. @returns false where it was not open */
export async function markExpired(tx: Tx, batchId: BatchId): Promise<boolean> {
  const ended = await tx
    .updateTable("ballots")
    .set({ state: "expired" })
    .where("batch_id", "=", batchId)
    .where("state", "=", "open")
    .executeTakeFirst();
  return ended.numUpdatedRows === 1n;
}

/** Ends the waiting batch of an expired ballot. @returns undefined where it had ended otherwise, e.g. was cancelled */
export async function failWaitingBatch(tx: Tx, batchId: BatchId, now: Date): Promise<ExpiredBatch | undefined> {
  const row = await tx
    .updateTable("batches")
    .set({ status: "failed", error: "consensus_expired", finished_at: now, last_progress_at: now })
    .where("batch_id", "=", batchId)
    .where("status", "=", "pending")
    .returning(["total_tasks", "created_at"])
    .executeTakeFirst();
  return row === undefined ? undefined : { totalTasks: row.total_tasks, createdAt: row.created_at };
}

export interface DueBallot {
  readonly batchId: BatchId;
  readonly digest: Digest;
}

/** Open ballots whose time is up, longest due first. */
export async function listDue(db: Db, now: Date, limitCount: number): Promise<readonly DueBallot[]> {
  const rows = await db
    .selectFrom("ballots")
    .select(["batch_id", "archive_digest"])
    .where("state", "=", "open")
    .where("expires_at", "<=", now)
    .orderBy("expires_at")
    .limit(limitCount)
    .execute();
  return rows.map((row) => ({ batchId: row.batch_id as BatchId, digest: row.archive_digest as Digest }));
}
