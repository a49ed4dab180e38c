/** Small facts of this installation. */
import { randomUUID } from "node:crypto";
import type { Db } from "../port.ts";

/** Id of this installation, minted at its first start: what its containers, volumes and networks are labelled with. */
export async function instanceId(db: Db): Promise<string> {
  return fact(db, "instance_id", () => randomUUID());
}

/** The value kept under `key`, or the one that `mint` makes now; two processes at once get the same one. */
export async function fact(db: Db, key: string, mint: () => string): Promise<string> {
  const find = () => db.selectFrom("meta").select("value").where("key", "=", key).executeTakeFirst();
  const kept = await find();
  if (kept !== undefined) return kept.value;
  await db
    .insertInto("meta")
    .values({ key, value: mint() })
    .onConflict((conflict) => conflict.column("key").doNothing())
    .execute();
  return (await find())?.value ?? fact(db, key, mint);
}
