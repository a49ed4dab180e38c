/** Queries on ballots and votes, for doors; admission writes them. */
import type { Selectable } from "kysely";
import type { Db } from "../port.ts";
import type { BallotTable, VoteTable } from "../schema.ts";

export type BallotRow = Selectable<BallotTable>;
export type VoteRow = Selectable<VoteTable>;

export async function findBallot(db: Db, batchId: string): Promise<BallotRow | undefined> {
  return db.selectFrom("ballots").selectAll().where("batch_id", "=", batchId).executeTakeFirst();
}

/** Votes of a ballot, oldest first. */
export async function listVotes(db: Db, batchId: string): Promise<readonly VoteRow[]> {
  return db
    .selectFrom("votes")
    .selectAll()
    .where("batch_id", "=", batchId)
    .orderBy("cast_at")
    .orderBy("voter")
    .execute();
}
