import { describe, expect, it } from "vitest";
import {
  addressGroup,
  constantTimeEquals,
  defaultSignatureBudgets,
  FailureLimiter,
  SignatureLimiter,
} from "../../src/admission/limiter.ts";
import { ManualClock, someKeys } from "./support/kit.ts";

const budget = { burstCount: 3, perSecond: 1, subjectsMax: 2 };

describe("FailureLimiter", () => {
  it("lets a burst through, then says how long to wait, then forgives", () => {
    const clock = new ManualClock();
    const limiter = new FailureLimiter(budget, clock);
    const tries = Array.from({ length: 5 }, () => {
      const secs = limiter.retryAfterSecs("a");
      if (secs === 0) limiter.fail("a");
      return secs;
    });
    expect(tries).toEqual([0, 0, 0, 1, 1]);
    clock.advance(999);
    expect(limiter.retryAfterSecs("a")).toBe(1);
    clock.advance(1);
    expect(limiter.retryAfterSecs("a")).toBe(0);
    clock.advance(10_000);
    expect(limiter.isClean("a")).toBe(true);
  });

  it("does not punish waiting: failures above the burst make the wait no longer", () => {
    const limiter = new FailureLimiter(budget, new ManualClock());
    for (let count = 0; count < 1_000; count++) limiter.fail("a");
    expect(limiter.retryAfterSecs("a")).toBe(1);
  });

  it("keeps its length when the wall clock jumps", () => {
    const clock = new ManualClock();
    const limiter = new FailureLimiter(budget, clock);
    for (let count = 0; count < 3; count++) limiter.fail("a");
    clock.jump(3_600_000);
    expect(limiter.retryAfterSecs("a")).toBe(1);
  });

  it("remembers a bounded number of subjects, and forgets the one longest untouched", () => {
    const limiter = new FailureLimiter(budget, new ManualClock());
    for (const subject of ["a", "b", "a", "c"]) limiter.fail(subject);
    expect(limiter.subjectCount).toBe(2);
    expect(limiter.isClean("b")).toBe(true);
    expect(limiter.isClean("a")).toBe(false);
  });
});

describe("A14 wrong tokens", () => {
  it("20 of them: limited before the last, and the right one is free again after the wait", () => {
    const clock = new ManualClock();
    const limiter = new FailureLimiter({ burstCount: 10, perSecond: 0.2, subjectsMax: 1_000 }, clock);
    let refused = 0;
    for (let count = 0; count < 20; count++) {
      if (limiter.retryAfterSecs("192.0.2.1") > 0) refused++;
      else limiter.fail("192.0.2.1");
    }
    expect(refused).toBe(10);
    clock.advance(limiter.retryAfterSecs("192.0.2.1") * 1_000);
    expect(limiter.retryAfterSecs("192.0.2.1")).toBe(0);
  });

  it.each([
    { given: "secret-token", is: true },
    { given: "secret-tokeN", is: false },
    { given: "Xecret-token", is: false },
    { given: "", is: false },
    { given: "secret-token ", is: false },
    { given: "x".repeat(100_000), is: false },
  ])("$given.length characters: $is, by digests of one length", ({ given, is }) => {
    expect(constantTimeEquals(given, "secret-token")).toBe(is);
  });
});

describe("SignatureLimiter", () => {
  const [keyA, keyB] = someKeys(2);
  if (keyA === undefined || keyB === undefined) throw new Error("no keys");
  const attempt = (address: string, publicKey = keyA, byte = 0) => ({
    address,
    publicKey,
    signature: new Uint8Array(64).fill(byte),
  });

  it("A13: an address that goes through many keys runs out, but a key without failures is still heard", () => {
    const limiter = new SignatureLimiter(new ManualClock());
    let verified = 0;
    for (let round = 0; round < 20; round++) {
      for (const key of someKeys(64).slice(1)) {
        if (limiter.admit(attempt("192.0.2.1", key)) > 0) continue;
        limiter.failed(attempt("192.0.2.1", key));
        verified++;
      }
    }
    expect(verified).toBeLessThanOrEqual(64 + defaultSignatureBudgets.address.burstCount);
    expect(limiter.admit(attempt("192.0.2.1", keyA))).toBe(0);
  });

  it("A13: a flood from everywhere meets the server's budget; who has succeeded before does not", () => {
    const limiter = new SignatureLimiter(new ManualClock());
    limiter.succeeded(attempt("192.0.2.1"));
    for (let host = 0; host < 1_000; host++) {
      const flood = attempt(`10.0.${host >> 8}.${host & 255}`);
      if (limiter.admit(flood) === 0) limiter.failed(flood);
    }
    expect(limiter.admit(attempt("203.0.113.1"))).toBeGreaterThan(0);
    expect(limiter.admit(attempt("192.0.2.1"))).toBe(0);
  });

  it("remembers a failed signature for its own pair only", () => {
    const limiter = new SignatureLimiter(new ManualClock());
    limiter.failed(attempt("192.0.2.1", keyA, 7));
    expect(limiter.hasFailedBefore(attempt("192.0.2.1", keyA, 7))).toBe(true);
    expect(limiter.hasFailedBefore(attempt("192.0.2.1", keyA, 8))).toBe(false);
    expect(limiter.hasFailedBefore(attempt("192.0.2.1", keyB, 7))).toBe(false);
    expect(limiter.hasFailedBefore(attempt("192.0.2.2", keyA, 7))).toBe(false);
  });
});

describe("addressGroup", () => {
  it.each([
    { address: "192.0.2.1", group: "192.0.2.1", why: "an IPv4 host" },
    { address: "::ffff:192.0.2.1", group: "192.0.2.1", why: "the same, mapped" },
    { address: "2001:db8:1:2:3:4:5:6", group: "2001:db8:1:2::/64", why: "a host owns its /64" },
    { address: "2001:0DB8:1:2::ffff", group: "2001:db8:1:2::/64", why: "another of it, spelt otherwise" },
    { address: "2001:db8::1", group: "2001:db8:0:0::/64", why: "zeros left out" },
    { address: "::1", group: "0:0:0:0::/64", why: "loopback" },
    { address: "fe80::1%eth0", group: "fe80:0:0:0::/64", why: "with a zone" },
    { address: "", group: "", why: "unknown" },
  ])("$why", ({ address, group }) => {
    expect(addressGroup(address)).toBe(group);
  });
});
