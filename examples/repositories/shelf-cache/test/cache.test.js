"use strict";

const assert = require("node:assert");
const test = require("node:test");
const { ShelfCache } = require("../src/cache.js");

test("keeps and forgets by capacity", () => {
  const cache = new ShelfCache({ capacity: 2 });
  cache.set("a", 1).set("b", 2).set("c", 3);
  assert.strictEqual(cache.size, 2);
  assert.strictEqual(cache.get("a"), undefined);
  assert.strictEqual(cache.get("c"), 3);
});

test("an entry goes stale after its time to live", () => {
  let now = 1000;
  const cache = new ShelfCache({ capacity: 2, ttlMs: 50, now: () => now });
  cache.set("a", 1);
  now = 1049;
  assert.ok(cache.has("a"));
  now = 1050;
  assert.ok(!cache.has("a"));
  assert.strictEqual(cache.get("a"), undefined);
  assert.strictEqual(cache.size, 0);
});

test("refuses a capacity that holds nothing", () => {
  assert.throws(() => new ShelfCache({ capacity: 0 }), RangeError);
});
