/** Asking a Proctor server: one place where addresses are read, answers are bounded, and refusals get their words. */
import * as v from "valibot";
import { CliError } from "../errors.ts";
import { harmlessLine } from "../terminal.ts";

const ANSWER_BYTES_MAX = 64 * 1024 ** 2;
const ANSWER_TIMEOUT_MS = 30_000;
const WORDS_CHARS_MAX = 400;

export interface Server {
  /** origin and base path, without a slash at the end */
  readonly url: string;
  /** bearer token of readers, where the server asks one */
  readonly token?: string;
}

/** @throws CliError `usage` where `text` is no http(s) address */
export function parseServer(text: string, token?: string): Server {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.search !== "") {
    throw new CliError("usage", `--server ${text.slice(0, 200)} is not an address like http://127.0.0.1:8080`);
  }
  return { url: `${url.origin}${url.pathname.replace(/\/+$/, "")}`, ...(token === undefined ? {} : { token }) };
}

export function authHeaders(server: Server): Record<string, string> {
  return server.token === undefined ? {} : { authorization: `Bearer ${server.token}` };
}

/** GET as JSON of the given form. @throws CliError `refused`, or `unreachable` */
export async function getJson<T extends v.GenericSchema>(
  server: Server,
  path: string,
  schema: T,
  signal?: AbortSignal,
): Promise<v.InferOutput<T>> {
  const deadline = AbortSignal.any([AbortSignal.timeout(ANSWER_TIMEOUT_MS), ...(signal === undefined ? [] : [signal])]);
  let status: number;
  let text: string;
  try {
    const response = await fetch(server.url + path, { headers: authHeaders(server), signal: deadline });
    status = response.status;
    text = await readBounded(response);
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : unreachable(server, error);
  }
  if (status < 200 || status > 299) throw refusal(server, status, text);
  return parseAnswer(server, path, text, schema);
}

/** @throws CliError `unreachable` where the answer is of another form than asked */
export function parseAnswer<T extends v.GenericSchema>(
  server: Server,
  path: string,
  text: string,
  schema: T,
): v.InferOutput<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new CliError("unreachable", `${server.url}${path} did not answer JSON; is that a Proctor server?`);
  }
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  const where = issue?.path?.map((step) => String(step.key)).join(".") ?? "the answer";
  throw new CliError(
    "unreachable",
    `${server.url}${path} answered another form than expected: ${where}: ${issue?.message}`,
  );
}

async function readBounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of response.body ?? []) {
    bytes += part.length;
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`an answer above ${ANSWER_BYTES_MAX} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

const errorBody = v.object({ error: v.string(), message: v.optional(v.string(), ""), reason: v.optional(v.string()) });

const nextSteps: Readonly<Record<string, string>> = {
  unauthorized_hotkey: "use the key of a validator, or add this hotkey to VALIDATOR_HOTKEYS of the server",
  stale: "set this machine's clock",
  downgrade: "submit with --signature-version 2",
  read_auth_required: "give the server's READ_TOKEN by PROCTOR_TOKEN",
  busy: "the vote is kept; submit again when a batch has ended",
  too_many_pending: "submit again in a minute",
  whitelist_not_ready: "submit again when the server has read its validator set",
};

/** What the server said, as an error: its own words, and a next step where one is known. */
export function refusal(server: Server, status: number, text: string): CliError {
  let body: v.InferOutput<typeof errorBody> | undefined;
  try {
    body = v.parse(errorBody, JSON.parse(text));
  } catch {
    body = undefined; // a proxy's page, not ours
  }
  const words = body === undefined ? text : [body.error, body.message, body.reason].filter(Boolean).join(": ");
  return new CliError(
    status >= 500 ? "unreachable" : "refused",
    `${server.url} answered ${status} ${harmlessLine(words, WORDS_CHARS_MAX)}`,
    body === undefined ? undefined : nextSteps[body.error],
  );
}

export function unreachable(server: Server, cause: unknown): CliError {
  const reason =
    cause instanceof Error ? (cause.cause instanceof Error ? cause.cause.message : cause.message) : String(cause);
  return new CliError(
    "unreachable",
    `${server.url} can't be reached: ${harmlessLine(reason, WORDS_CHARS_MAX)}`,
    `start one with "proctor serve", or name the right one with --server`,
    { cause },
  );
}
