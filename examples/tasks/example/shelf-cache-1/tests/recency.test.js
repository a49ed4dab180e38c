const assert = require("node:assert");
const test = require("node:test");
const { ShelfCache } = require("../src/cache.js");

test("a read entry outlives one that nobody asked for", () => {
  const cache = new ShelfCache({ capacity: 2 });
  cache.set("a", 1).set("b", 2);
  assert.strictEqual(cache.get("a"), 1);
  cache.set("c", 3);
  assert.strictEqual(cache.get("a"), 1);
  assert.strictEqual(cache.get("b"), undefined);
});

test("replacing a value pushes nothing out", () => {
  const cache = new ShelfCache({ capacity: 2 });
  cache.set("a", 1).set("b", 2).set("b", 3);
  assert.strictEqual(cache.size, 2);
  assert.strictEqual(cache.get("a"), 1);
  assert.strictEqual(cache.get("b"), 3);
});

test("replacing a value counts as a use", () => {
  const cache = new ShelfCache({ capacity: 2 });
  cache.set("a", 1).set("b", 2).set("a", 3).set("c", 4);
  assert.strictEqual(cache.get("a"), 3);
  assert.ok(!cache.has("b"));
});

test("looking whether a key is there is no use", () => {
  const cache = new ShelfCache({ capacity: 2 });
  cache.set("a", 1).set("b", 2);
  assert.ok(cache.has("a"));
  cache.set("c", 3);
  assert.ok(!cache.has("a"));
});

test("reading does not prolong the time to live", () => {
  let now = 0;
  const cache = new ShelfCache({ capacity: 2, ttlMs: 10, now: () => now });
  cache.set("a", 1);
  now = 9;
  assert.strictEqual(cache.get("a"), 1);
  now = 10;
  assert.strictEqual(cache.get("a"), undefined);
});
