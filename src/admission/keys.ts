/** Keys of our own side: what the command line makes, reads and signs with, and what the server's own key is built on. */
import { randomBytes } from "node:crypto";
import { open, readFile, stat } from "node:fs/promises";
import {
  keyExtractSuri,
  keyFromPath,
  mnemonicGenerate,
  mnemonicToMiniSecret,
  mnemonicValidate,
  sr25519PairFromSeed,
  sr25519Sign,
} from "@polkadot/util-crypto";
import * as v from "valibot";
import { AppError } from "../kernel/errors.ts";
import { type Digest, type Hotkey, type PublicKeyHex, parsePublicKeyHex } from "../kernel/ids.ts";
import { buildNonceV2, isNonceText, isNonceV2 } from "./nonce-v2.ts";
import { hotkeyOf } from "./ss58.ts";

/** The published development phrase of all substrate chains: `//Alice` and kin stand on it. Worth nothing, on purpose. */
const DEVELOPMENT_PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
const KEY_FILE_BYTES_MAX = 16 * 1024;
const SEED = /^(?:0x)?[0-9a-fA-F]{64}$/;

export interface SigningKey {
  readonly publicKey: PublicKeyHex;
  readonly hotkey: Hotkey;
  /** @returns the 64-byte signature */
  sign(message: Uint8Array): Uint8Array;
}

/** A fresh key of 256 bits and the 24 words it can be had from again. */
export function generateKey(): { readonly mnemonic: string; readonly key: SigningKey } {
  const mnemonic = mnemonicGenerate(24);
  return { mnemonic, key: keyFromMnemonic(mnemonic) };
}

/** @throws AppError `invalid_request` where the words or their checksum are wrong; never repeats them */
export function keyFromMnemonic(mnemonic: string): SigningKey {
  const words = mnemonic.trim().replace(/\s+/g, " ");
  if (!mnemonicValidate(words)) {
    throw new AppError("invalid_request", "the mnemonic is not 12–24 words of the BIP-39 list with a true checksum");
  }
  return keyFromSeedBytes(mnemonicToMiniSecret(words));
}

/** @param seed 32 bytes as hex, `0x` optional @throws AppError `invalid_request` */
export function keyFromSeed(seed: string): SigningKey {
  if (!SEED.test(seed)) throw new AppError("invalid_request", "the seed is not 64 hex digits");
  return keyFromSeedBytes(Buffer.from(seed.replace(/^0x/, ""), "hex"));
}

/**
 * A key by substrate's secret URI: `//Alice`, or a mnemonic or seed with a derivation path; no password.
 * @throws AppError `invalid_request`; never repeats the URI
 */
export function keyFromUri(uri: string): SigningKey {
  try {
    const { phrase, path, password } = keyExtractSuri(uri.startsWith("/") ? `${DEVELOPMENT_PHRASE}${uri}` : uri);
    if (password !== undefined && password !== "") throw new Error("a password is not supported");
    const seed = SEED.test(phrase) ? Buffer.from(phrase.replace(/^0x/, ""), "hex") : mnemonicToMiniSecret(phrase);
    return keyFromPair(keyFromPath(sr25519PairFromSeed(seed), path, "sr25519"));
  } catch (cause) {
    // The cause may hold the phrase.
    const why = cause instanceof Error && cause.message.includes("password") ? "; a password is not supported" : "";
    throw new AppError("invalid_request", `the key URI is not a mnemonic, a seed or //Name with a path${why}`);
  }
}

function keyFromSeedBytes(seed: Uint8Array): SigningKey {
  return keyFromPair(sr25519PairFromSeed(seed));
}

function keyFromPair(pair: { readonly publicKey: Uint8Array; readonly secretKey: Uint8Array }): SigningKey {
  const publicKey = parsePublicKeyHex(Buffer.from(pair.publicKey).toString("hex"));
  if (publicKey === undefined) throw new AppError("internal", "a key pair without 32 public bytes");
  return {
    publicKey,
    hotkey: hotkeyOf(publicKey),
    sign: (message) => sr25519Sign(message, pair),
  };
}

const secret = v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(1_024)));
/** Ours: one of mnemonic, seed, uri. A Bittensor hotkey file says the same as secretPhrase and secretSeed. */
const keyFileSchema = v.object({
  mnemonic: secret,
  seed: secret,
  uri: secret,
  secretPhrase: v.nullish(v.string()),
  secretSeed: v.nullish(v.string()),
  hotkey: v.optional(v.string()),
});

/**
 * Reads a key file: a JSON object with one of `mnemonic`, `seed`, `uri`; or a Bittensor hotkey file.
 * @throws AppError `invalid_config` naming the file and what is wrong, never what is in it
 */
export async function readSigner(path: string): Promise<SigningKey> {
  const fail = (why: string) => new AppError("invalid_config", `key file ${path} ${why}`);
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw fail(
      error.code === "ENOENT" ? 'is not there; make one with "proctor keygen"' : `can't be read: ${error.code}`,
    );
  });
  if (!info.isFile() || info.size > KEY_FILE_BYTES_MAX)
    throw fail(`is not a file of at most ${KEY_FILE_BYTES_MAX} bytes`);
  const parsed = v.safeParse(keyFileSchema, parseJson(await readFile(path, "utf8")));
  if (!parsed.success) throw fail("is not a JSON object with mnemonic, seed or uri as text");
  const { uri, hotkey } = parsed.output;
  const mnemonic = parsed.output.mnemonic ?? parsed.output.secretPhrase ?? undefined;
  const seed = parsed.output.seed ?? parsed.output.secretSeed ?? undefined;
  let key: SigningKey;
  if (uri !== undefined) key = keyFromUri(uri);
  else if (mnemonic !== undefined) key = keyFromMnemonic(mnemonic);
  else if (seed !== undefined) key = keyFromSeed(seed);
  else throw fail("holds none of mnemonic, seed, uri");
  if (hotkey !== undefined && hotkey !== key.hotkey)
    throw fail(`says hotkey ${hotkey}, but its secret is of ${key.hotkey}`);
  return key;
}

/** Writes a new key file, mode 0600. @throws AppError `conflict` where the file is there: a key is never overwritten */
export async function writeKeyFile(path: string, content: { readonly mnemonic: string } | { readonly seed: string }) {
  const key = "mnemonic" in content ? keyFromMnemonic(content.mnemonic) : keyFromSeed(content.seed);
  const file = await open(path, "wx", 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST")
      throw new AppError("conflict", `key file ${path} is there already; choose another name`);
    throw new AppError("invalid_config", `key file ${path} can't be written: ${error.code}`);
  });
  try {
    await file.writeFile(`${JSON.stringify({ ...content, hotkey: key.hotkey }, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  return key;
}

/** Makes a key file with a fresh key, mode 0600. @throws as `writeKeyFile` */
export async function createKeyFile(path: string): Promise<SigningKey> {
  return writeKeyFile(path, { mnemonic: generateKey().mnemonic });
}

export interface SignInput {
  readonly key: SigningKey;
  readonly version: 1 | 2;
  /** version 2: `audience` of the server's GET /instance */
  readonly audience?: string;
  readonly method: string;
  /** path without query, beginning with `/` */
  readonly path: string;
  readonly concurrentTasks?: number;
  /** version 2: SHA-256 of the archive, or of the raw body */
  readonly bodyDigest?: Digest;
  /** default: now */
  readonly nowMs?: number;
  /** version 1: default random */
  readonly nonce?: string;
}

/** The three headers of a signed request, with a fresh nonce. @throws AppError `invalid_request` where something is missing */
export function signedHeaders(input: SignInput): Record<"X-Hotkey" | "X-Nonce" | "X-Signature", string> {
  const nonce = input.version === 1 ? nonceV1(input.nonce) : nonceV2(input);
  const { key } = input;
  const signature = Buffer.from(key.sign(Buffer.from(key.hotkey + nonce, "utf8"))).toString("hex");
  return { "X-Hotkey": key.hotkey, "X-Nonce": nonce, "X-Signature": `0x${signature}` };
}

function nonceV1(given: string | undefined): string {
  const nonce = given ?? randomBytes(16).toString("hex");
  if (isNonceText(nonce) && !isNonceV2(nonce)) return nonce;
  throw new AppError("invalid_request", "a version 1 nonce has 1–256 printable ASCII characters and no v2. in front");
}

function nonceV2(input: SignInput): string {
  const { audience, bodyDigest, method, path, concurrentTasks, nowMs = Date.now() } = input;
  if (audience === undefined || bodyDigest === undefined) {
    throw new AppError(
      "invalid_request",
      "signing with version 2 needs the server's audience (GET /instance) and the body's digest",
    );
  }
  const asked = concurrentTasks === undefined ? {} : { concurrentTasks };
  return buildNonceV2({ nowMs, bodyDigest, audience, method, path, ...asked });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
