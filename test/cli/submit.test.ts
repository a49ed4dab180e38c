import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sr25519Verify } from "@polkadot/util-crypto";
import { afterAll, expect, test } from "vitest";
import { generateKey } from "../../src/admission/keys.ts";
import { submit } from "../../src/cli/client/submit.ts";
import { CliError } from "../../src/cli/errors.ts";
import { answerJson, bodyOf, fakeServer } from "./fake-server.ts";

const folder = mkdtempSync(join(tmpdir(), "proctor-submit-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const archive = join(folder, "a b.zip");
const content = Buffer.from("not really a zip\r\n--proctor-");
writeFileSync(archive, content);
const digest = createHash("sha256").update(content).digest("hex");
const { key } = generateKey();
const nowMs = 1_700_000_000_000;
const accepted = {
  batch_id: "1b4e28ba-2fa1-4d2b-883f-0016d3cca427",
  archive_hash: digest,
  votes: 1,
  required: 2,
  total_validators: 3,
  total_tasks: 4,
};

const headersOf = (request: IncomingMessage) => ({
  hotkey: String(request.headers["x-hotkey"]),
  nonce: String(request.headers["x-nonce"]),
  signature: String(request.headers["x-signature"]),
});

test("a vote of version 2 binds archive, audience, concurrency and path, and the file arrives whole", async () => {
  let seen: { url: string; body: Buffer; type: string } & ReturnType<typeof headersOf> = {
    url: "",
    body: Buffer.alloc(0),
    type: "",
    hotkey: "",
    nonce: "",
    signature: "",
  };
  await using server = await fakeServer(async (request, response) => {
    if (request.url === "/base/instance") return answerJson(response, 200, { audience: "5Audience", version: "1" });
    seen = {
      url: request.url ?? "",
      body: await bodyOf(request),
      type: String(request.headers["content-type"]),
      ...headersOf(request),
    };
    answerJson(response, 202, accepted);
  });
  const result = await submit({
    server: { url: `${server.url}/base` },
    archive,
    signer: key,
    signatureVersion: 2,
    concurrentTasks: 3,
    nowMs,
  });
  expect(result).toMatchObject({ batch_id: accepted.batch_id, votes: 1, consensus_reached: false });
  expect(seen.url).toBe("/base/submit?concurrent_tasks=3");
  expect(seen.nonce).toMatch(new RegExp(`^v2\\.${nowMs}\\.[\\w-]{22}\\.${digest}\\.5Audience\\.3\\.POST/base/submit$`));
  expect(seen.hotkey).toBe(key.hotkey);
  expect(sr25519Verify(seen.hotkey + seen.nonce, seen.signature, `0x${key.publicKey}`)).toBe(true);
  const form = await new Response(new Uint8Array(seen.body), { headers: { "content-type": seen.type } }).formData();
  const part = form.get("archive");
  expect(part).toBeInstanceOf(File);
  expect(Buffer.from(await (part as File).arrayBuffer())).toEqual(content);
});

test("version 1 asks nothing first", async () => {
  const urls: string[] = [];
  await using server = await fakeServer(async (request, response) => {
    urls.push(request.url ?? "");
    await bodyOf(request);
    answerJson(response, 202, { ...accepted, consensus_reached: true });
  });
  const result = await submit({ server: { url: server.url }, archive, signer: key, signatureVersion: 1, nowMs });
  expect(result.consensus_reached).toBe(true);
  expect(urls).toEqual(["/submit"]);
});

test("a refused head costs no upload", async () => {
  const big = join(folder, "big.zip");
  writeFileSync(big, Buffer.alloc(8 * 1024 ** 2));
  let bodyBytes = 0;
  await using server = await fakeServer(
    () => {
      throw new Error("the body was asked for");
    },
    (request, response) => {
      request.on("data", (part: Buffer) => (bodyBytes += part.length));
      answerJson(response, 401, { error: "unauthorized_hotkey", message: "Hotkey is not authorized" });
    },
  );
  const error = await submit({
    server: { url: server.url },
    archive: big,
    signer: key,
    signatureVersion: 1,
    nowMs,
  }).catch((reason: unknown) => reason);
  expect(error).toMatchObject({
    exit: "refused",
    message: expect.stringContaining("401 unauthorized_hotkey"),
    next: expect.stringContaining("VALIDATOR_HOTKEYS"),
  });
  expect(bodyBytes).toBe(0);
});

test.for([
  {
    why: "a refusal in the middle of the body",
    status: 400,
    body: { error: "archive_too_large", message: "Archive exceeds" },
    exit: "refused",
    says: /400 archive_too_large: Archive exceeds/,
  },
  {
    why: "a busy server",
    status: 503,
    body: { error: "busy", message: "later" },
    exit: "unreachable",
    says: /503 busy/,
  },
  {
    why: "an answer that is not a server of ours",
    status: 202,
    body: { hello: 1 },
    exit: "unreachable",
    says: /another form than expected: batch_id/,
  },
  {
    why: "words that would move the cursor",
    status: 400,
    body: { error: "\u001b[2Jx", message: "y\rz" },
    exit: "refused",
    says: /400 x: y z$/,
  },
])("$why", async ({ status, body, exit, says }) => {
  await using server = await fakeServer((request, response) => {
    request.resume();
    answerJson(response, status, body);
  });
  const error = await submit({ server: { url: server.url }, archive, signer: key, signatureVersion: 1, nowMs }).catch(
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CliError);
  expect((error as CliError).exit).toBe(exit);
  expect((error as CliError).message.replaceAll("\ufffd", " ").replace(/ +/g, " ")).toMatch(says);
});

test("no server, and no archive", async () => {
  const gone = await fakeServer(() => {});
  await gone[Symbol.asyncDispose]();
  const options = { server: { url: gone.url }, signer: key, signatureVersion: 1, nowMs } as const;
  await expect(submit({ ...options, archive })).rejects.toMatchObject({ exit: "unreachable" });
  await expect(submit({ ...options, archive: join(folder, "absent.zip") })).rejects.toMatchObject({ exit: "file" });
});
