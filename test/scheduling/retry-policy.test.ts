import { expect, test } from "vitest";
import { AppError } from "../../src/kernel/errors.ts";
import {
  canRetry,
  defaultRetryPolicy,
  faultForOperators,
  faultForReaders,
  retryDelayMs,
} from "../../src/scheduling/retry-policy.ts";

test.each([
  { why: "first, least jitter", count: 1, random: 0, ms: 500 },
  { why: "first, most jitter", count: 1, random: 0.999_999, ms: 1_000 },
  { why: "doubles", count: 4, random: 0, ms: 4_000 },
  { why: "has a ceiling", count: 50, random: 0.999_999, ms: 60_000 },
])("delay: $why", ({ count, random, ms }) => {
  expect(retryDelayMs(defaultRetryPolicy, count, random)).toBe(ms);
});

test("readers learn what it means and nothing of the inside", () => {
  const error = new AppError("sandbox_failed", "container 4f3c9b1d7e at /var/lib/docker/x failed");
  expect(faultForReaders(error, 5)).toBe(
    "the platform could not run this task (sandbox_failed, 5 attempts); it was not scored",
  );
  expect(faultForReaders(new TypeError("x of undefined at /srv/a.ts:1"), 1)).not.toMatch(/srv|undefined/);
  expect(faultForOperators(error)).toContain("4f3c9b1d7e");
  expect(faultForOperators(new Error("\0".repeat(5) + "x".repeat(10_000)))).toHaveLength(2_000);
});

test.each([
  { why: "unforeseen", error: new TypeError("x"), retried: true },
  { why: "engine away", error: new AppError("sandbox_unavailable", "x"), retried: true },
  { why: "image missing: an operator must act", error: new AppError("image_missing", "x"), retried: false },
])("$why", ({ error, retried }) => {
  expect(canRetry(error)).toBe(retried);
});
