import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createKeyFile,
  generateKey,
  keyFromMnemonic,
  keyFromSeed,
  keyFromUri,
  readSigner,
  signedHeaders,
  writeKeyFile,
} from "../../src/admission/keys.ts";
import { openServerKey, serverKeyFileName } from "../../src/admission/server-key.ts";
import { verifySignature } from "../../src/admission/signature.ts";
import { alice, audience, digestOf } from "./support/kit.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "proctor-keys-"));
});
afterAll(() => rm(folder, { recursive: true }));
const at = (name: string) => join(folder, name);
const words = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";

describe("keys", () => {
  it.each([
    { uri: "//Alice", hotkey: "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY" },
    { uri: "//Bob", hotkey: "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty" },
    { uri: `${words}//Charlie`, hotkey: "5FLSigC9HGRKVhB9FiEo4Y3koPsNmBmLJbpXg2mp1hXcS59Y" },
    { uri: words, hotkey: "5DfhGyQdFobKM8NsWvEeAKk5EQQgYe9AydgJ7rMB6E1EqRzV" },
  ])("$uri is $hotkey on every chain", ({ uri, hotkey }) => {
    expect(keyFromUri(uri).hotkey).toBe(hotkey);
  });

  it.each([
    { why: "one word wrong", make: () => keyFromMnemonic(words.replace("lake", "lame")) },
    { why: "one word missing", make: () => keyFromMnemonic(words.replace("lake ", "")) },
    { why: "a short seed", make: () => keyFromSeed("0x1234") },
    { why: "a password", make: () => keyFromUri(`${words}///hunter2`) },
    { why: "nonsense", make: () => keyFromUri("hunter2 is no phrase") },
    { why: "nothing", make: () => keyFromUri("") },
  ])("of $why are refused without repeating the secret", ({ make }) => {
    expect(make).toThrow(/^(?!.*(bottom|lame|1234|hunter2)).*$/s);
  });

  it("are fresh each time, 24 words, and come back from them", () => {
    const [one, two] = [generateKey(), generateKey()];
    expect(one.mnemonic.split(" ")).toHaveLength(24);
    expect(one.mnemonic).not.toBe(two.mnemonic);
    expect(keyFromMnemonic(`  ${one.mnemonic.replaceAll(" ", "\n")} `).hotkey).toBe(one.key.hotkey);
  });
});

describe("key files", () => {
  it("are for their owner alone, are never overwritten, and give the key back", async () => {
    const made = await createKeyFile(at("new.json"));
    expect((await stat(at("new.json"))).mode & 0o777).toBe(0o600);
    expect((await readSigner(at("new.json"))).hotkey).toBe(made.hotkey);
    const before = await readFile(at("new.json"), "utf8");
    await expect(createKeyFile(at("new.json"))).rejects.toMatchObject({ code: "conflict" });
    expect(await readFile(at("new.json"), "utf8")).toBe(before);
    await expect(createKeyFile(at("no/such/folder.json"))).rejects.toMatchObject({ code: "invalid_config" });
  });

  it.each([
    { why: "a mnemonic", content: { mnemonic: words } },
    { why: "a URI", content: { uri: words } },
    {
      why: "a Bittensor hotkey file",
      content: { accountId: "0x", secretPhrase: words, secretSeed: null, ss58Address: "5" },
    },
    { why: "a hotkey beside it that is right", content: { mnemonic: words, hotkey: keyFromMnemonic(words).hotkey } },
  ])("may hold $why", async ({ content }) => {
    await writeFile(at("held.json"), JSON.stringify(content));
    expect((await readSigner(at("held.json"))).hotkey).toBe(keyFromMnemonic(words).hotkey);
  });

  it("may hold a seed", async () => {
    const seed = `0x${"07".repeat(32)}`;
    await writeKeyFile(at("seed.json"), { seed });
    expect((await readSigner(at("seed.json"))).hotkey).toBe(keyFromSeed(seed).hotkey);
  });

  it.each([
    { why: "nothing", text: "", says: /is not a JSON object/ },
    { why: "no JSON", text: words, says: /is not a JSON object/ },
    { why: "a list", text: "[]", says: /is not a JSON object|holds none/ },
    { why: "no secret", text: "{}", says: /holds none/ },
    { why: "a number", text: '{"seed":7}', says: /is not a JSON object with/ },
    {
      why: "another's hotkey",
      text: JSON.stringify({ mnemonic: words, hotkey: alice.hotkey }),
      says: /its secret is of/,
    },
    { why: "20 kB", text: JSON.stringify({ mnemonic: "x".repeat(20_000) }), says: /at most 16384 bytes/ },
  ])("that hold $why are refused by name", async ({ text, says }) => {
    await writeFile(at("bad.json"), text);
    await expect(readSigner(at("bad.json"))).rejects.toThrow(says);
    await expect(readSigner(at("bad.json"))).rejects.not.toThrow(/bottom/);
  });

  it("that are absent, or folders, are refused with the next step", async () => {
    await expect(readSigner(at("absent.json"))).rejects.toThrow(/proctor keygen/);
    await expect(readSigner(folder)).rejects.toThrow(/not a file/);
  });
});

describe("signed headers", () => {
  it.each([1, 2] as const)("of version %i verify, and are fresh each time", (version) => {
    const input = { key: alice, version, audience, method: "POST", path: "/submit", bodyDigest: digestOf("x") };
    const [one, two] = [signedHeaders(input), signedHeaders(input)];
    expect(one["X-Nonce"]).not.toBe(two["X-Nonce"]);
    const signature = Buffer.from(one["X-Signature"].slice(2), "hex");
    expect(verifySignature(one["X-Hotkey"] + one["X-Nonce"], signature, alice.publicKey)).toBe(true);
  });

  it.each(["", "é", "x".repeat(257), "v2.mine"])("of version 1 refuse the nonce %j", (nonce) => {
    expect(() => signedHeaders({ key: alice, version: 1, method: "POST", path: "/submit", nonce })).toThrow(
      /version 1 nonce/,
    );
  });
});

describe("the server's key", () => {
  it("is made at the first start, for its owner alone, and is the same ever after", async () => {
    const dataDir = at("data/deep");
    const [one, other] = await Promise.all([openServerKey(dataDir), openServerKey(dataDir)]);
    const later = await openServerKey(dataDir);
    expect(new Set([one.audience, other.audience, later.audience]).size).toBe(1);
    expect((await stat(join(dataDir, serverKeyFileName))).mode & 0o777).toBe(0o600);
    const message = Buffer.from("what happened");
    expect(verifySignature("what happened", later.sign(message), one.publicKey)).toBe(true);
  });

  it("that is open to others, or damaged, stops the start and is never made anew", async () => {
    const dataDir = at("data2");
    const path = join(dataDir, serverKeyFileName);
    await openServerKey(dataDir);
    await chmod(path, 0o644);
    await expect(openServerKey(dataDir)).rejects.toThrow(/open to others \(mode 644\); run "chmod 600/);
    await chmod(path, 0o600);
    await writeFile(path, "{");
    await expect(openServerKey(dataDir)).rejects.toMatchObject({ code: "invalid_config" });
    expect(await readFile(path, "utf8")).toBe("{");
  });
});
