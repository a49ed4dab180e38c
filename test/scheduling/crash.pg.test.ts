/** SIGKILL at random moments: every task still ends with exactly one verdict, and the journal has no gap and no double. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { verifyChain } from "../../src/journal/chain.ts";
import { resultsHash } from "../../src/scheduling/results-hash.ts";
import { openStore } from "../../src/store/open.ts";
import type { Store } from "../../src/store/port.ts";
import { startPostgres, whyNoPostgres } from "../store/postgres.ts";

const CHILD = new URL("./crash-child.ts", import.meta.url).pathname;
const KILLS = 10;
const seed = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 1e9));

interface Run {
  readonly killed: boolean;
}

/** Runs the child; kills it `killAfterMs` after it has recovered and begun, unless it ends before. */
async function run(
  dataDir: string,
  round: number,
  databaseUrl: string | undefined,
  killAfterMs?: number,
): Promise<Run> {
  const args = [CHILD, dataDir, String(seed + round), ...(databaseUrl === undefined ? [] : [databaseUrl])];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => {
    if (line === "ready" && killAfterMs !== undefined) sleep(killAfterMs).then(() => child.kill("SIGKILL"));
  });
  const { code, signal } = await exited;
  if (signal !== "SIGKILL") expect(code, `child failed (seed ${seed}, round ${round}): ${errors}`).toBe(0);
  return { killed: signal === "SIGKILL" };
}

async function checkAll(store: Store): Promise<void> {
  const batches = await store.db.selectFrom("batches").selectAll().execute();
  expect(batches).toHaveLength(3);
  for (const batch of batches) {
    const id = batch.batch_id;
    const tasks = await store.db.selectFrom("tasks").selectAll().where("batch_id", "=", id).execute();
    const journal = await store.db
      .selectFrom("journal")
      .selectAll()
      .where("batch_id", "=", id)
      .orderBy("seq")
      .execute();
    const ends = journal.filter((row) => row.event === "task_complete").map((row) => row.task_id);
    expect(tasks).toHaveLength(40);
    expect(tasks.every((task) => task.verdict === "passed" || task.verdict === "failed")).toBe(true);
    expect(ends.toSorted()).toEqual(tasks.map((task) => task.task_id).toSorted());
    expect(journal.filter((row) => row.event === "batch_started")).toHaveLength(1);
    expect(journal.filter((row) => row.event === "batch_complete")).toHaveLength(1);
    expect(journal.at(-1)?.event).toBe("batch_complete");
    expect(verifyChain(journal)).toEqual({ ok: true, headSeq: batch.head_seq, headHash: batch.head_hash });
    const results = tasks.map((task) => ({ taskId: task.task_id, passed: task.passed, reward: task.reward }));
    expect(batch).toMatchObject({
      status: "completed",
      completed_tasks: 40,
      passed_tasks: tasks.filter((task) => task.passed === true).length,
      results_hash: resultsHash(id, results),
    });
  }
  const attempts = await store.db.selectFrom("attempts").select("state").execute();
  expect(attempts.filter((attempt) => attempt.state === "running")).toEqual([]);
  expect(attempts.filter((attempt) => attempt.state === "judged")).toHaveLength(120);
  expect(attempts.filter((attempt) => attempt.state === "lost").length).toBeGreaterThan(0);
  const { rows } = await sql`select 1 from pgboss.job`.execute(store.db);
  expect(rows).toEqual([]);
}

async function killAgainAndAgain(databaseUrl: string | undefined): Promise<void> {
  const dataDir = mkdtempSync(join(tmpdir(), "proctor-crash-"));
  console.info(`TEST_SEED=${seed}`);
  try {
    let kills = 0;
    for (let round = 0; round < KILLS; round++) {
      const killAfterMs = ((seed * (round + 7)) % 97) * 4;
      if ((await run(dataDir, round, databaseUrl, killAfterMs)).killed) kills += 1;
    }
    expect(kills).toBeGreaterThan(2);
    await run(dataDir, KILLS, databaseUrl);
    await using store = await openStore({ dataDir, databaseUrl });
    await checkAll(store);
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

test("embedded store: killed ten times, every task has exactly one verdict", { timeout: 300_000 }, async () => {
  await killAgainAndAgain(undefined);
});

const missing = whyNoPostgres();
describe.skipIf(missing !== undefined)(
  `PostgreSQL server${missing === undefined ? "" : ` (skipped: ${missing})`}`,
  () => {
    test("killed ten times, every task has exactly one verdict", { timeout: 300_000 }, async () => {
      const server = await startPostgres();
      try {
        await killAgainAndAgain(await server.createDatabase());
      } finally {
        await server.stop();
      }
    });
  },
);
