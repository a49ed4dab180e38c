import { describe, expect, test } from "vitest";
import { type ChainEntry, entryHash, GENESIS_HASH, verifyChain } from "../../src/journal/chain.ts";

const first: ChainEntry = {
  seq: 1,
  at: new Date("2026-01-02T03:04:05.678Z"),
  event: "batch_started",
  task_id: null,
  data: '{"concurrent_limit":4,"total_tasks":2}',
};
const second: ChainEntry = {
  seq: 2,
  at: new Date("2026-01-02T03:04:06.000Z"),
  event: "log",
  task_id: "a/b",
  data: '{"phase":"agent","stream":"stdout","text":"x\\n"}',
};
/** Written with Python's hashlib from the sentence in chain.ts. */
const FIRST = "96e3d3f64c86b497a408acf2324a10c8b24516a8d484b879782d594fdf5d5ea3";
const SECOND = "98dff246653664f08b88d781679750d13d41db2fad0e47701b963006361c6ff4";

const chained = [
  { ...first, hash: FIRST },
  { ...second, hash: SECOND },
];

test("the hashed bytes are those that are documented", () => {
  expect(entryHash(GENESIS_HASH, first)).toBe(FIRST);
  expect(entryHash(FIRST, second)).toBe(SECOND);
});

describe("verify", () => {
  test("a whole chain, and the rest of one", () => {
    const head = { ok: true, headSeq: 2, headHash: SECOND };
    expect(verifyChain(chained)).toEqual(head);
    expect(verifyChain(chained.slice(1), { seq: 1, hash: FIRST })).toEqual(head);
    expect(verifyChain([])).toEqual({ ok: true, headSeq: 0, headHash: GENESIS_HASH });
  });

  test.each([
    { why: "text changed", rows: [chained[0], { ...chained[1], data: "{}" }], seq: 2, problem: "hash" },
    { why: "time changed", rows: [{ ...chained[0], at: new Date(0) }, chained[1]], seq: 1, problem: "hash" },
    { why: "task changed", rows: [chained[0], { ...chained[1], task_id: "a" }], seq: 2, problem: "hash" },
    { why: "row dropped", rows: [chained[1]], seq: 1, problem: "gap" },
    { why: "row doubled", rows: [chained[0], chained[0]], seq: 2, problem: "gap" },
    { why: "rows swapped", rows: [chained[1], chained[0]], seq: 1, problem: "gap" },
  ])("$why is found", ({ rows, seq, problem }) => {
    expect(verifyChain(rows as typeof chained)).toEqual({ ok: false, seq, problem });
  });
});
