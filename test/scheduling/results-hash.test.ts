import { expect, test } from "vitest";
import { resultsHash } from "../../src/scheduling/results-hash.ts";

const BATCH = "0b5c1e0e-6f1e-4b53-9d0a-2f6a5f1f3c11";

/** Written with Python's hashlib and struct: `h.update(id.encode()); h.update(b"1"); h.update(struct.pack("<d", reward))`. */
const vectors = [
  {
    why: "order of UTF-8 bytes (not of UTF-16 units), null is 0, rewards as little-endian doubles",
    results: [
      { taskId: "b/task", passed: true, reward: 1 },
      { taskId: "a", passed: false, reward: 0 },
      { taskId: "é", passed: null, reward: 0 },
      { taskId: "z", passed: true, reward: 0.25 },
      { taskId: "B", passed: true, reward: 1 },
      { taskId: "😀", passed: true, reward: 1 },
      { taskId: "\uffee", passed: false, reward: 0.5 },
    ],
    hash: "2fdf801a8c3d4a6031da325f32ba276d7c4d77d9b8a2cd730fa32771e3b95985",
  },
  {
    why: "no task: the batch id alone",
    results: [],
    hash: "84efbdd1e2335003abd214bf92b6fb10e8212521f89192c98df7a4d5caf234aa",
  },
];

test.each(vectors)("$why", ({ results, hash }) => {
  expect(resultsHash(BATCH, results)).toBe(hash);
  expect(resultsHash(BATCH, results.toReversed())).toBe(hash);
});
