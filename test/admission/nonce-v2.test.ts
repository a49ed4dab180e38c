import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { buildNonceV2, checkNonceV2, isNonceText, isNonceV2, nonceAgeMaxMs } from "../../src/admission/nonce-v2.ts";
import { audience, bob, digestOf } from "./support/kit.ts";

const nowMs = Date.UTC(2026, 5, 1);
const bodyDigest = digestOf("body");
const request = { method: "POST", path: "/submit", concurrentTasks: "4" };
const context = { ...request, audience, nowMs };
const build = (change: object = {}) =>
  buildNonceV2({ nowMs, bodyDigest, audience, method: "POST", path: "/submit", concurrentTasks: 4, ...change });
const field = (index: number, text: string) => build().split(".").toSpliced(index, 1, text).join(".");

describe("version 2 nonces", () => {
  it("bind what they were built for", () => {
    expect(checkNonceV2(build(), context)).toEqual({ ok: true, bodyDigest });
    expect(build()).not.toBe(build());
  });

  it.each([
    { why: "A06 300 s old is in time", nonce: build({ nowMs: nowMs - nonceAgeMaxMs }), is: "ok" },
    { why: "A06 300 s ahead is in time", nonce: build({ nowMs: nowMs + nonceAgeMaxMs }), is: "ok" },
    { why: "A06 301 s old", nonce: build({ nowMs: nowMs - 301_000 }), is: "stale" },
    { why: "A06 301 s ahead", nonce: build({ nowMs: nowMs + 301_000 }), is: "stale" },
    { why: "A07 another server", nonce: build({ audience: bob.hotkey }), is: "audience_mismatch" },
    { why: "A07 another method", nonce: build({ method: "DELETE" }), is: "method_mismatch" },
    { why: "A07 another path", nonce: build({ path: "/submit/" }), is: "path_mismatch" },
    { why: "A07 more at once", nonce: build({ concurrentTasks: 8 }), is: "concurrent_tasks_mismatch" },
    {
      why: "A07 none asked in the nonce",
      nonce: build({ concurrentTasks: undefined }),
      is: "concurrent_tasks_mismatch",
    },
    { why: "the path with a slash of its own", nonce: field(6, "POST//submit"), is: "ok" },
    { why: "A07 two slashes too many", nonce: field(6, "POST///submit"), is: "path_mismatch" },
    { why: "stale comes before all else", nonce: build({ nowMs: 1, audience: bob.hotkey, path: "/x" }), is: "stale" },
    { why: "audience before path", nonce: build({ audience: bob.hotkey, path: "/x" }), is: "audience_mismatch" },
    { why: "nothing after the version", nonce: "v2.", is: "nonce_malformed" },
    { why: "a field missing", nonce: build().replace(`.${audience}`, ""), is: "nonce_malformed" },
    { why: "time in seconds with a fraction", nonce: field(1, "1.5"), is: "nonce_malformed" },
    { why: "time with a sign", nonce: field(1, `+${nowMs}`), is: "nonce_malformed" },
    { why: "time in exponent form", nonce: field(1, "1e12"), is: "nonce_malformed" },
    { why: "time with a leading zero", nonce: field(1, `0${nowMs}`), is: "nonce_malformed" },
    { why: "random part too short", nonce: field(2, "AAAA"), is: "nonce_malformed" },
    { why: "random part too long", nonce: field(2, `${"A".repeat(23)}`), is: "nonce_malformed" },
    { why: "random part in plain base64", nonce: field(2, `${"+".repeat(21)}A`), is: "nonce_malformed" },
    { why: "random part with spare bits", nonce: field(2, `${"A".repeat(21)}B`), is: "nonce_malformed" },
    { why: "digest in upper case", nonce: field(3, bodyDigest.toUpperCase()), is: "nonce_malformed" },
    { why: "digest too short", nonce: field(3, bodyDigest.slice(1)), is: "nonce_malformed" },
    { why: "method in lower case", nonce: field(6, "post/submit"), is: "nonce_malformed" },
    { why: "no path", nonce: field(6, "POST"), is: "nonce_malformed" },
    { why: "a newline at the end", nonce: `${build()}\n`, is: "nonce_malformed" },
  ])("$why", ({ nonce, is }) => {
    const check = checkNonceV2(nonce, context);
    expect(check.ok ? "ok" : check.kind === "stale" ? "stale" : check.reason).toBe(is);
  });

  it("keep dots in the path, the last field", () => {
    const path = "/batch/1.2/task/a.b..c";
    const nonce = build({ path });
    expect(checkNonceV2(nonce, { ...context, path }).ok).toBe(true);
    expect(checkNonceV2(nonce, { ...context, path: "/batch/1.2/task/a.b" }).ok).toBe(false);
  });

  it.each(["0", "-1", "99999999999"])("bind %s, which the query is clamped from only later", (concurrentTasks) => {
    expect(checkNonceV2(field(5, concurrentTasks), { ...context, concurrentTasks }).ok).toBe(true);
    expect(checkNonceV2(field(5, concurrentTasks), context).ok).toBe(false);
  });

  it("stand for a query that is absent by a dash", () => {
    const nonce = build({ concurrentTasks: undefined });
    expect(checkNonceV2(nonce, { ...context, concurrentTasks: undefined }).ok).toBe(true);
    expect(checkNonceV2(nonce, { ...context, concurrentTasks: "" }).ok).toBe(false);
  });

  it("can't be built longer than a server takes", () => {
    expect(() => build({ path: `/${"x".repeat(200)}` })).toThrow(/256/);
    expect(() => build({ path: "/é" })).toThrow(RangeError);
  });

  it("never fall back to version 1, and no text makes the check throw", () => {
    expect(isNonceV2("v2.anything")).toBe(true);
    expect(isNonceV2("v2")).toBe(false);
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
        expect(checkNonceV2(`v2.${text}`, context).ok).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});

describe("nonce text", () => {
  it.each([
    { why: "256 bytes", text: "x".repeat(256), is: true },
    { why: "257 bytes", text: "x".repeat(257), is: false },
    { why: "empty", text: "", is: false },
    { why: "first and last printable character", text: " ~", is: true },
    { why: "a tab", text: "a\tb", is: false },
    { why: "DEL", text: "a\x7f", is: false },
    { why: "a Latin-1 letter", text: "é", is: false },
    { why: "a line break at the end", text: "a\n", is: false },
  ])("$why: $is", ({ text, is }) => {
    expect(isNonceText(text)).toBe(is);
  });
});
