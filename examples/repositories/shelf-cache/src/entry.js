"use strict";

/** A kept value and the moment it goes stale. */
class Entry {
  constructor(value, expiresAt) {
    this.value = value;
    this.expiresAt = expiresAt;
  }

  isExpired(now) {
    return now >= this.expiresAt;
  }
}

module.exports = { Entry };
