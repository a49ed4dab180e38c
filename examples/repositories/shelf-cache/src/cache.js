"use strict";

const { Entry } = require("./entry.js");

/** A bounded cache; the least recently used entry is forgotten first. */
class ShelfCache {
  #entries = new Map(); // oldest use first: a Map keeps the order of insertion
  #capacity;
  #ttlMs;
  #now;

  constructor({ capacity, ttlMs = Infinity, now = Date.now }) {
    if (!Number.isInteger(capacity) || capacity < 1) throw new RangeError("capacity must be a whole number of at least 1");
    this.#capacity = capacity;
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  get size() {
    return this.#entries.size;
  }

  has(key) {
    const entry = this.#entries.get(key);
    return entry !== undefined && !entry.isExpired(this.#now());
  }

  get(key) {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.isExpired(this.#now())) {
      this.#entries.delete(key);
      return undefined;
    }
    return entry.value;
  }

  set(key, value) {
    if (this.#entries.size >= this.#capacity) this.#forgetOldest();
    this.#entries.set(key, new Entry(value, this.#now() + this.#ttlMs));
    return this;
  }

  delete(key) {
    return this.#entries.delete(key);
  }

  #forgetOldest() {
    const [oldest] = this.#entries.keys();
    this.#entries.delete(oldest);
  }
}

module.exports = { ShelfCache };
