/** Spent nonces and pinned signing versions, in the store: they outlive a restart and hold for every node. */
import type { PublicKeyHex } from "../kernel/ids.ts";
import type { Db } from "../store/port.ts";

/**
 * Spends a nonce of a key. The row count is the answer, so that of any number at once exactly one succeeds.
 * @returns false where it was spent before
 */
export async function spendNonce(db: Db, voter: PublicKeyHex, nonce: string, now: Date): Promise<boolean> {
  const result = await db
    .insertInto("nonces")
    .values({ voter, nonce, spent_at: now })
    .onConflict((conflict) => conflict.columns(["voter", "nonce"]).doNothing())
    .executeTakeFirst();
  return result.numInsertedOrUpdatedRows === 1n;
}

/**
 * Forgets version 2 nonces spent before `before`: their own time refuses them by then. Version 1 nonces have no time and
 * are remembered for good, since a key that leaves the set may come back. @returns how many
 */
export async function forgetNoncesV2(db: Db, before: Date): Promise<number> {
  const result = await db
    .deleteFrom("nonces")
    .where("nonce", "like", "v2.%")
    .where("spent_at", "<", before)
    .executeTakeFirst();
  return Number(result.numDeletedRows);
}

/** Whether a key has submitted with version 2, and so may not submit with version 1. */
export async function isPinnedToV2(db: Db, voter: PublicKeyHex): Promise<boolean> {
  const row = await db.selectFrom("signers").select("min_version").where("voter", "=", voter).executeTakeFirst();
  return row !== undefined && row.min_version >= 2;
}

/** Notes that a key has submitted with version 2. */
export async function pinToV2(db: Db, voter: PublicKeyHex, now: Date): Promise<void> {
  await db
    .insertInto("signers")
    .values({ voter, min_version: 2, updated_at: now })
    .onConflict((conflict) =>
      conflict.column("voter").doUpdateSet({ min_version: 2, updated_at: now }).where("signers.min_version", "<", 2),
    )
    .execute();
}

/** An administrator lets a key submit with version 1 again. @returns false where it was not pinned */
export async function resetPinnedVersion(db: Db, voter: PublicKeyHex): Promise<boolean> {
  const result = await db.deleteFrom("signers").where("voter", "=", voter).executeTakeFirst();
  return result.numDeletedRows === 1n;
}
