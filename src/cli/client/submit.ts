/** Submitting: the digest of an archive, the three headers, and an upload that streams from disk. */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { basename } from "node:path";
import { pipeline } from "node:stream/promises";
import { type SigningKey, signedHeaders } from "../../admission/keys.ts";
import type { Digest } from "../../kernel/ids.ts";
import { CliError } from "../errors.ts";
import { getJson, parseAnswer, refusal, type Server, unreachable } from "./http.ts";
import { type Accepted, acceptedWire, instanceWire } from "./wire.ts";

const IDLE_MS = 120_000;
const CONTINUE_WAIT_MS = 3_000;
const ANSWER_CHARS_MAX = 1_048_576;

export interface SubmitOptions {
  readonly server: Server;
  readonly archive: string;
  readonly signer: SigningKey;
  readonly signatureVersion: 1 | 2;
  /** how many tasks should run at once; the server clamps it */
  readonly concurrentTasks?: number;
  readonly nowMs: number;
  readonly signal?: AbortSignal;
}

/** Uploads an archive as one vote. @throws CliError `file`, `refused` or `unreachable` */
export async function submit(options: SubmitOptions): Promise<Accepted> {
  const { server, archive } = options;
  const digest = await digestOf(archive);
  const asked = options.concurrentTasks === undefined ? {} : { concurrentTasks: options.concurrentTasks };
  const headers = signedHeaders({
    key: options.signer,
    version: options.signatureVersion,
    method: "POST",
    path: new URL(`${server.url}/submit`).pathname,
    bodyDigest: digest,
    nowMs: options.nowMs,
    ...(options.signatureVersion === 1 ? {} : { audience: await audienceOf(server, options.signal) }),
    ...asked,
  });
  const query = options.concurrentTasks === undefined ? "" : `?concurrent_tasks=${options.concurrentTasks}`;
  const answer = await upload(server, `/submit${query}`, archive, headers, options.signal);
  if (answer.status < 200 || answer.status > 299) throw refusal(server, answer.status, answer.text);
  return parseAnswer(server, "/submit", answer.text, acceptedWire);
}

async function audienceOf(server: Server, signal: AbortSignal | undefined): Promise<string> {
  return (await getJson(server, "/instance", instanceWire, signal)).audience;
}

/** SHA-256 of a file as hex. @throws CliError `file` */
export async function digestOf(path: string): Promise<Digest> {
  const hash = createHash("sha256");
  try {
    await pipeline(createReadStream(path), hash);
  } catch (cause) {
    throw new CliError(
      "file",
      `archive ${path} can't be read: ${(cause as Error).message}`,
      'make one with "proctor pack <dir>"',
      { cause },
    );
  }
  return hash.digest("hex") as Digest;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** A multipart upload of one file. The server may answer before it has read the body: then its answer is what counts. */
async function upload(
  server: Server,
  path: string,
  archive: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const boundary = `proctor-${randomBytes(12).toString("hex")}`;
  const name = basename(archive).replace(/[^\w.-]/g, "_");
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="archive"; filename="${name}"\r\ncontent-type: application/octet-stream\r\n\r\n`;
  const tail = `\r\n--${boundary}--\r\n`;
  const { size } = await stat(archive);
  const url = new URL(server.url + path);
  return await new Promise<Answer>((resolve, reject) => {
    let isAnswered = false;
    const request = (url.protocol === "https:" ? httpsRequest : httpRequest)(url, {
      method: "POST",
      headers: {
        ...headers,
        "content-type": `multipart/form-data; boundary=${boundary}`,
        "content-length": head.length + size + tail.length,
        expect: "100-continue",
      },
      timeout: IDLE_MS,
      ...(signal === undefined ? {} : { signal }),
    });
    const body = createReadStream(archive);
    const fail = (cause: unknown) => {
      body.destroy();
      request.destroy();
      if (!isAnswered) reject(signal?.aborted === true ? signal.reason : unreachable(server, cause));
    };
    // A refused head costs no upload: the body waits for the server's word, but not for ever, since a proxy may swallow
    // it (RFC 9110 section 10.1.1).
    let isSending = false;
    const send = () => {
      if (isSending || isAnswered) return;
      isSending = true;
      request.write(head);
      body.pipe(request, { end: false });
      body.once("end", () => request.end(tail));
    };
    const impatience = setTimeout(send, CONTINUE_WAIT_MS);
    request.once("close", () => clearTimeout(impatience));
    request.once("continue", send);
    body.once("error", fail);
    request.once("timeout", () => fail(new Error(`nothing moved for ${IDLE_MS / 1000} s`)));
    request.once("error", fail);
    request.once("response", (response) => {
      isAnswered = true;
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text = (text + part).slice(0, ANSWER_CHARS_MAX);
      });
      response.once("end", () => {
        body.destroy();
        resolve({ status: response.statusCode ?? 0, text });
        if (!request.writableEnded) request.destroy();
      });
      response.once("error", (cause) => reject(unreachable(server, cause)));
    });
    request.flushHeaders();
  });
}
