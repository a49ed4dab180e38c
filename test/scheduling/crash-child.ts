/** A scheduler that is made to be killed: `node crash-child.ts DATA_DIR SEED [DATABASE_URL]`. Prints a line for each stage. */
import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "../../src/kernel/errors.ts";
import { type Evaluate, resultOf, startKit } from "./kit.ts";

const [dataDir, seed, databaseUrl] = process.argv.slice(2);
if (dataDir === undefined) throw new Error("DATA_DIR is missing");
let state = Number(seed);
/** mulberry32: the parent prints the seed that replays a failure. */
const random = () => {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
};

const evaluate: Evaluate = async (input, reporter, signal) => {
  reporter.phase("clone", "started");
  reporter.log("clone", "stdout", `attempt ${input.attempt} of ${input.task.taskId}\n`);
  await sleep(5 + random() * 60, undefined, { signal });
  reporter.phase("agent", "started");
  // Faults are drawn rarely enough that five in one task don't happen by chance.
  if (random() < 0.05) throw new AppError("sandbox_failed", "drawn fault");
  await sleep(random() * 40, undefined, { signal });
  return resultOf(random() < 0.5 ? {} : { verdict: "failed", reason: "tests_failed", reward: 0 });
};

const kit = await startKit({
  dataDir,
  evaluate,
  // A killed run costs an attempt: the bound is tested elsewhere.
  retry: { faultsMax: 50, lossesMax: 1_000, firstDelayMs: 5, delayMsMax: 50 },
  config: { MAX_CONCURRENT_TASKS: 6, MAX_ACTIVE_BATCHES: 2 },
  pollMs: 200,
  ...(databaseUrl === undefined ? {} : { databaseUrl }),
});
const { rows } = { rows: await kit.store.db.selectFrom("batches").select("batch_id").execute() };
const ids = rows.length > 0 ? rows.map((row) => row.batch_id) : [];
while (ids.length < 3) ids.push(await kit.openBatch(40, 4));
console.log("ready");
await Promise.all(ids.map((id) => kit.untilComplete(id, AbortSignal.timeout(120_000))));
console.log("complete");
await kit[Symbol.asyncDispose]();
