import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createGate } from "../../src/admission/gate.ts";
import { signedHeaders } from "../../src/admission/keys.ts";
import { forgetNoncesV2, resetPinnedVersion } from "../../src/admission/nonces.ts";
import type { Gate, SignedHead } from "../../src/admission/port.ts";
import { AppError } from "../../src/kernel/errors.ts";
import { openStore } from "../../src/store/open.ts";
import type { Store } from "../../src/store/port.ts";
import { alice, audience, bob, charlie, digestOf, ManualClock, signedHead, TestSet } from "./support/kit.ts";

let store: Store;
let clock: ManualClock;
let validators: TestSet;
let gate: Gate;

beforeAll(async () => {
  store = await openStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.db.deleteFrom("nonces").execute();
  await store.db.deleteFrom("signers").execute();
  clock = new ManualClock();
  validators = new TestSet(alice, bob);
  gate = gateOf(1);
});

const gateOf = (minVersion: number) => createGate({ store, validators, audience, minVersion, clock });
const v1 = (change: object = {}) => signedHead({ version: 1, ...change });
const v2 = (change: object = {}) => signedHead({ version: 2, nowMs: clock.now(), ...change });

async function codeOf(head: SignedHead, use: "submit" | "control" = "submit", by = gate): Promise<string> {
  try {
    await by.authenticate(head, use);
    return "ok";
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const { reason } = error.details;
    return reason === undefined ? error.code : `${error.code}: ${reason}`;
  }
}

async function spentCount(): Promise<number> {
  return (await store.db.selectFrom("nonces").select("nonce").execute()).length;
}

describe("a rightly signed request", () => {
  it.each([1, 2] as const)("of version %i names its caller and spends its nonce", async (version) => {
    const head = version === 1 ? v1() : v2({ concurrentTasks: 4 });
    const caller = await gate.authenticate(head, "submit");
    expect(caller).toEqual({
      publicKey: alice.publicKey,
      hotkey: alice.hotkey,
      nonce: head.nonce[0],
      signature: head.signature[0],
      version,
      ...(version === 2 ? { bodyDigest: digestOf("body") } : {}),
    });
    expect(await spentCount()).toBe(1);
  });
});

describe("A01 headers", () => {
  const names = ["hotkey", "nonce", "signature"] as const;
  const cases = names.flatMap((name) => [
    { name, why: "missing", change: (): string[] => [] },
    { name, why: "empty", change: () => [""] },
    { name, why: "oversize", change: () => ["x".repeat(2_000)] },
    { name, why: "doubled", change: (values: readonly string[]) => [...values, ...values] },
  ]);
  it.each(cases)("$name $why: missing_auth", async ({ name, change }) => {
    const head = v1();
    expect(await codeOf({ ...head, [name]: change(head[name]) })).toBe("missing_auth");
    expect(await spentCount()).toBe(0);
  });

  it.each(["tab\there", "é", "line\nbreak", "\u0000"])(
    "a nonce that is not printable (%j): missing_auth",
    async (nonce) => {
      expect(await codeOf({ ...v1(), nonce: [nonce] })).toBe("missing_auth");
    },
  );

  it("says what the contract says", async () => {
    const refused = gate.authenticate({ ...v1(), nonce: [] }, "submit");
    await expect(refused).rejects.toMatchObject({
      httpStatus: 401,
      message: "Missing required headers: X-Hotkey, X-Nonce, X-Signature",
    });
  });
});

describe("the order of the checks", () => {
  const nothingRight = { hotkey: ["5nonsense"], nonce: ["n"], signature: ["zz"] };
  it("1 before 2 before 3 before 4 before 5", async () => {
    validators.isReady = false;
    expect(await codeOf({ ...v1(), ...nothingRight, nonce: [] })).toBe("missing_auth");
    expect(await codeOf({ ...v1(), ...nothingRight })).toBe("whitelist_not_ready");
    validators.isReady = true;
    validators.keys = new Set();
    expect(await codeOf({ ...v1(), ...nothingRight })).toBe("whitelist_not_ready");
    validators.keys = new Set([alice.publicKey]);
    expect(await codeOf({ ...v1(), ...nothingRight })).toBe("invalid_hotkey");
    expect(await codeOf({ ...v1(), ...nothingRight, hotkey: [charlie.hotkey] })).toBe("unauthorized_hotkey");
    expect(await codeOf({ ...v1(), ...nothingRight, hotkey: [alice.hotkey] })).toBe(
      "invalid_signature: signature_wrong",
    );
  });

  it("5 before 6: a bad signature does not tell whether a nonce was spent", async () => {
    const head = v1();
    await gate.authenticate(head, "submit");
    expect(await codeOf({ ...head, signature: ["00".repeat(64)] })).toBe("invalid_signature: signature_wrong");
    expect(await codeOf(head)).toBe("nonce_reused");
  });
});

describe("A02 a bad signature", () => {
  it.each([
    { why: "63 bytes", signature: "ab".repeat(63) },
    { why: "65 bytes", signature: "ab".repeat(65) },
    { why: "zeros", signature: "00".repeat(64) },
    { why: "not hex", signature: "hello" },
  ])("of $why: invalid_signature, nonce not spent", async ({ signature }) => {
    const head = v1();
    expect(await codeOf({ ...head, signature: [signature] })).toBe("invalid_signature: signature_wrong");
    expect(await codeOf(head)).toBe("ok");
  });

  it("that is well formed never spends the caller's nonce", async () => {
    const head = v1();
    expect(await codeOf({ ...head, signature: v1({ key: bob }).signature })).toBe("invalid_signature: signature_wrong");
    expect(await spentCount()).toBe(0);
    expect(await codeOf(head)).toBe("ok");
  });
});

describe("A03 a key that is not in the set", () => {
  it("is refused though its signature is right", async () => {
    expect(await codeOf(v1({ key: charlie }))).toBe("unauthorized_hotkey");
    expect(await spentCount()).toBe(0);
  });
});

describe("A06 A07 version 2", () => {
  it("A06: 301 s old or ahead is stale, and says the server's time", async () => {
    for (const skewMs of [-301_000, 301_000]) {
      expect(await codeOf(v2({ nowMs: clock.now() + skewMs }))).toBe("stale");
    }
    await expect(gate.authenticate(v2({ nowMs: clock.now() - 400_000 }), "submit")).rejects.toMatchObject({
      httpStatus: 401,
      details: { server_time_ms: clock.now() },
    });
  });

  it.each([
    { why: "path", change: { path: "/batch/x/cancel" }, reason: "path_mismatch" },
    { why: "method", change: { method: "PUT" }, reason: "method_mismatch" },
    { why: "concurrency", change: { concurrentTasks: "8" }, reason: "concurrent_tasks_mismatch" },
  ])("A07: bound to its $why", async ({ change, reason }) => {
    expect(await codeOf({ ...v2(), ...change })).toBe(`invalid_signature: ${reason}`);
  });

  it("A07: bound to its server", async () => {
    const other = createGate({ store, validators, audience: bob.hotkey, minVersion: 1, clock });
    expect(await codeOf(v2(), "submit", other)).toBe("invalid_signature: audience_mismatch");
  });

  it("a v2. nonce that does not parse is refused, not taken for version 1", async () => {
    expect(await codeOf({ ...v1(), nonce: ["v2.looks.like.it"] })).toBe("invalid_signature: nonce_malformed");
  });
});

describe("A08 replay", () => {
  it("of 50 identical requests at once exactly one is accepted", async () => {
    const head = v1();
    const codes = await Promise.all(Array.from({ length: 50 }, () => codeOf(head)));
    expect(codes.filter((code) => code === "ok")).toHaveLength(1);
    expect(codes.filter((code) => code === "nonce_reused")).toHaveLength(49);
  });

  it("after 300 s, and by another gate on the same store, is still a replay", async () => {
    const head = v1();
    await gate.authenticate(head, "submit");
    clock.advance(86_400_000);
    expect(await codeOf(head, "submit", gateOf(1))).toBe("nonce_reused");
  });

  it("stays one when old version 2 nonces are forgotten; those are stale by then", async () => {
    const [first, second] = [v1({ key: bob }), v2()];
    await gate.authenticate(first, "submit");
    await gate.authenticate(second, "submit");
    clock.advance(3_600_000);
    expect(await forgetNoncesV2(store.db, new Date(clock.now()))).toBe(1);
    expect(await codeOf(first)).toBe("nonce_reused");
    expect(await codeOf(second)).toBe("stale");
  });
});

describe("A09 A10 versions and keys", () => {
  it("A09: the same nonce text from two keys is taken from both", async () => {
    expect(await codeOf(v1({ nonce: "same" }))).toBe("ok");
    expect(await codeOf(v1({ nonce: "same", key: bob }))).toBe("ok");
  });

  it("A10: version 1 after version 2 is a downgrade, for this key alone, until reset; its nonce is not spent", async () => {
    expect(await codeOf(v2())).toBe("ok");
    const old = v1();
    expect(await codeOf(old)).toBe("downgrade");
    expect(await codeOf(v1({ key: bob }))).toBe("ok");
    expect(await resetPinnedVersion(store.db, alice.publicKey)).toBe(true);
    expect(await resetPinnedVersion(store.db, alice.publicKey)).toBe(false);
    expect(await codeOf(old)).toBe("ok");
  });

  it("A10: a stranger's bad version 2 request pins nothing", async () => {
    expect(await codeOf({ ...v2(), signature: v1({ key: bob }).signature })).toBe("invalid_signature: signature_wrong");
    expect(await codeOf(v1())).toBe("ok");
  });

  it("SIGNATURE_MIN_VERSION=2 refuses version 1", async () => {
    const strict = gateOf(2);
    expect(await codeOf(v1(), "submit", strict)).toBe("invalid_signature: version_2_required");
    expect(await codeOf(v2(), "submit", strict)).toBe("ok");
  });

  it("control calls take version 2 only, and pin nothing", async () => {
    expect(await codeOf(v1(), "control")).toBe("invalid_signature: version_2_required");
    expect(await codeOf(v2(), "control")).toBe("ok");
    expect(await codeOf(v1())).toBe("ok");
  });
});

describe("A13 A14 a flood of bad signatures", () => {
  /** Well-formed and wrong, each another one: what costs most to refuse. */
  const wrong = (index: number, remoteAddress: string): SignedHead => {
    const bytes = Buffer.from(v1({ nonce: `flood ${index}` }).signature[0]?.slice(2) ?? "", "hex");
    bytes.writeUInt8(bytes.readUInt8(40) ^ 1, 40);
    return { ...v1({ nonce: `flood ${index}` }), signature: [bytes.toString("hex")], remoteAddress };
  };

  /** The same bytes each run. */
  let state = 42;
  const random = () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state >>> 16;
  };
  const v1Template = v1();

  it("A13: beside it, from the same address, another key is served at once; the flood gets 429 with a time", async () => {
    const codes: string[] = [];
    for (let index = 0; index < 80; index++) codes.push(await codeOf(wrong(index, "192.0.2.1")));
    expect(codes.filter((code) => code === "invalid_signature: signature_wrong").length).toBeLessThanOrEqual(40);
    expect(codes.at(-1)).toBe("too_many_requests");
    await expect(gate.authenticate(wrong(99, "192.0.2.1"), "submit")).rejects.toMatchObject({
      httpStatus: 429,
      details: { retry_after_secs: expect.any(Number) },
    });
    expect(await codeOf(v1({ key: bob, remoteAddress: "192.0.2.1" }))).toBe("ok");
  });

  it("A13: that names a victim's key from elsewhere leaves the victim alone", async () => {
    for (let index = 0; index < 80; index++) await codeOf(wrong(index, "198.51.100.7"));
    expect(await codeOf(v1({ remoteAddress: "192.0.2.1" }))).toBe("ok");
  });

  it("A13: of nonsense, or of one signature again and again, does not even harm the key it names", async () => {
    const stuck = wrong(0, "192.0.2.1").signature;
    for (let index = 0; index < 300; index++) {
      await codeOf({ ...v1(), nonce: [`n${index}`], signature: ["00".repeat(64)] });
      await codeOf({ ...v1(), nonce: [`m${index}`], signature: stuck });
    }
    expect(await codeOf({ ...v1(), signature: stuck })).toBe("too_many_requests");
    expect(await codeOf(v1())).toBe("ok");
  });

  it("A13: of random bytes leaves the very key it names a good chance, at the very same address", async () => {
    let heard = 0;
    for (let index = 0; index < 20_000; index++) {
      if (index % 2_000 === 1_999 && (await codeOf(v1())) === "ok") heard++;
      const signature = Buffer.from(Array.from({ length: 64 }, random)).toString("hex");
      await codeOf({ ...v1Template, nonce: [`r${index}`], signature: [signature] });
      clock.advance(0.5);
    }
    expect(heard).toBeGreaterThanOrEqual(8);
  });

  it("A13: 2000 bad a second for a second cost a fraction of it", async () => {
    const floods = Array.from({ length: 60 }, (_, index) => wrong(index, "192.0.2.1"));
    const startedMs = performance.now();
    for (let index = 0; index < 2_000; index++) await codeOf(floods[index % 60] ?? v1());
    expect(performance.now() - startedMs).toBeLessThan(3_000);
  });

  it("is over when it stops", async () => {
    for (let index = 0; index < 50; index++) await codeOf(wrong(index, "192.0.2.1"));
    expect(await codeOf(v1())).toBe("too_many_requests");
    clock.advance(1_000);
    expect(await codeOf(v1())).toBe("ok");
  });

  it("of one true request, replayed, is limited too", async () => {
    const head = v1();
    const codes: string[] = [];
    for (let index = 0; index < 250; index++) codes.push(await codeOf(head));
    expect(codes.at(-1)).toBe("too_many_requests");
    expect(await codeOf({ ...v1(), remoteAddress: "203.0.113.9" })).toBe("ok");
  });
});

it("signedHeaders names what is missing for version 2", () => {
  expect(() => signedHeaders({ key: alice, version: 2, method: "POST", path: "/submit" })).toThrow(/audience/);
});
