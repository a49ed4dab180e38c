/** A validator as a program of somebody else would be written: CONTRACT.md's words and nothing of our own code. */
import { createHash, randomBytes } from "node:crypto";
import { cryptoWaitReady, encodeAddress, sr25519PairFromSeed, sr25519Sign } from "@polkadot/util-crypto";

await cryptoWaitReady();

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the wire's JSON, asserted on by each test
  readonly body: any;
}

export interface Validator {
  readonly hotkey: string;
  sign(nonce: string): Record<string, string>;
  /** Version 1: hotkey and nonce, nothing bound. */
  submit(url: string, archive: Buffer, options?: SubmitOptions): Promise<Answer>;
}

export interface SubmitOptions {
  readonly concurrentTasks?: number;
  readonly nonce?: string;
  /** sign with version 2 for this audience */
  readonly audience?: string;
}

/** The same seed byte gives the same validator. */
export function makeValidator(seedByte: number): Validator {
  const pair = sr25519PairFromSeed(new Uint8Array(32).fill(seedByte));
  const hotkey = encodeAddress(pair.publicKey, 42);
  const sign = (nonce: string) => ({
    "X-Hotkey": hotkey,
    "X-Nonce": nonce,
    "X-Signature": Buffer.from(sr25519Sign(hotkey + nonce, pair)).toString("hex"),
  });
  return {
    hotkey,
    sign,
    async submit(url, archive, options = {}) {
      const form = new FormData();
      form.append("archive", new Blob([new Uint8Array(archive)]), "archive.zip");
      const query = options.concurrentTasks === undefined ? "" : `?concurrent_tasks=${options.concurrentTasks}`;
      const nonce = options.nonce ?? (options.audience === undefined ? v1Nonce() : v2Nonce(archive, options));
      return call(`${url}/submit${query}`, { method: "POST", headers: sign(nonce), body: form });
    },
  };
}

/** One HTTP call, its JSON read. */
export async function call(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? undefined : JSON.parse(text) };
}

function v1Nonce(): string {
  return randomBytes(12).toString("hex");
}

function v2Nonce(archive: Buffer, { audience, concurrentTasks }: SubmitOptions): string {
  const digest = createHash("sha256").update(archive).digest("hex");
  const random = randomBytes(16).toString("base64url");
  return `v2.${Date.now()}.${random}.${digest}.${audience}.${concurrentTasks ?? "-"}.POST/submit`;
}
