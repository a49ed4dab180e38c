/**
 * Tasks with their outputs. A batch may hold a thousand tasks with megabytes of text each, and clients may read slowly:
 * the JSON is written piece by piece, at the pace of the reader, and no more than one piece is held.
 */
import type { Readable } from "node:stream";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { AppError } from "../../kernel/errors.ts";
import type { BatchId } from "../../kernel/ids.ts";
import { findBatch } from "../../store/tables/batches.ts";
import { findTask, listTasks, type TaskRow } from "../../store/tables/tasks.ts";
import { type Api, type ApiApp, type ApiContext, addRoute, admitReader, encodedPath } from "../context.ts";
import { endOfString, jsonStringsOf, jsonTextPieces } from "../json-text.ts";
import { PacedWriter } from "../paced-writer.ts";
import { batchNotFound, parseBatchPath, parseTaskPath, taskNotFound } from "../wire/query.ts";
import { type OutputsVisible, taskListItemToWire, taskToWire, testsToWire, textFields } from "../wire/task.ts";

/** Rows are read in pages, so that their results are not all held either. */
const PAGE_COUNT = 20;
/** Small pieces are gathered, so that not each comma is a packet. */
const WRITE_CHARS_MIN = 16 * 1024;

export function addTaskRoutes(app: ApiApp, api: Api): void {
  addRoute(app, "/batch/:id/tasks", {
    GET: async (c) => {
      const { outputs } = admitReader(api, c);
      const id = parseBatchPath(c.req.param("id") ?? "");
      if ((await findBatch(api.deps.store.db, id)) === undefined) throw batchNotFound();
      return writeJson(api, c, () => taskListPieces(api, id, outputs));
    },
  });
  addRoute(app, "/batch/:id/task/*", {
    GET: async (c) => {
      const { outputs } = admitReader(api, c);
      const id = parseBatchPath(c.req.param("id") ?? "");
      const task = await findTask(api.deps.store.db, id, parseTaskPath(encodedPath(c)));
      if (task === undefined) throw taskNotFound();
      return writeJson(api, c, () => wholeTaskPieces(api, task, outputs));
    },
  });
}

async function* taskListPieces(api: Api, id: BatchId, outputs: OutputsVisible): AsyncGenerator<string> {
  yield `{"batch_id":${JSON.stringify(id)},"tasks":[`;
  let after: number | undefined;
  for (;;) {
    const page = await listTasks(api.deps.store.db, id, { after, limit: PAGE_COUNT });
    for (const task of page) {
      if (after !== undefined) yield ",";
      after = task.ordinal;
      yield* objectPieces(taskListItemToWire(task, outputs), textPieces(api, task, outputs));
    }
    if (page.length < PAGE_COUNT) break;
  }
  yield "]}";
}

async function* wholeTaskPieces(api: Api, task: TaskRow, outputs: OutputsVisible): AsyncGenerator<string> {
  yield* objectPieces(taskToWire(task, outputs), testPieces(api, task, outputs), textPieces(api, task, outputs));
}

/** An object whose first members are those of `head`; each of `more` yields further members, every one with its comma. */
async function* objectPieces(head: object, ...more: AsyncGenerator<string>[]): AsyncGenerator<string> {
  yield JSON.stringify(head).slice(0, -1);
  for (const members of more) yield* members;
  yield "}";
}

/** The texts of a task, each from its blob. */
async function* textPieces(api: Api, task: TaskRow, outputs: OutputsVisible): AsyncGenerator<string> {
  for (const { name, blob } of textFields) {
    yield `,${JSON.stringify(name)}:"`;
    const digest = task[blob];
    const text = digest === null || outputs !== "full" ? undefined : await openText(api, digest);
    if (text !== undefined) yield* jsonTextPieces(text, api.bounds.textPieceBytes);
    yield '"';
  }
}

/** `test_results`: what is in the row, and each output from the one blob that holds them all. */
async function* testPieces(api: Api, task: TaskRow, outputs: OutputsVisible): AsyncGenerator<string> {
  const { heads, outputsBlob } = testsToWire(task, outputs);
  const blob = outputsBlob === undefined || heads.length === 0 ? undefined : await openText(api, outputsBlob);
  const strings = blob === undefined ? undefined : jsonStringsOf(blob);
  yield ',"test_results":[';
  try {
    for (const [index, head] of heads.entries()) {
      yield `${index === 0 ? "" : ","}${JSON.stringify(head).slice(0, -1)},"output":"`;
      if (strings !== undefined) yield* nextString(strings);
      yield '"}';
    }
  } finally {
    await strings?.return(undefined);
  }
  yield "]";
}

async function* nextString(strings: ReturnType<typeof jsonStringsOf>): AsyncGenerator<string> {
  for (;;) {
    const next = await strings.next();
    if (next.done === true || next.value === endOfString) return;
    yield next.value;
  }
}

/** @returns undefined where the text is no longer kept: the verdict outlives it */
async function openText(api: Api, digest: string): Promise<Readable | undefined> {
  try {
    return await api.deps.blobs.stream(digest);
  } catch (error) {
    if (error instanceof AppError && error.code === "not_found") return undefined;
    throw error;
  }
}

/** Sends pieces of one JSON text as the client takes them; a client that takes none for `stallMs` is cut off. */
async function writeJson(api: Api, c: ApiContext, pieces: () => AsyncGenerator<string>): Promise<Response> {
  const { incoming, outgoing } = c.env;
  using _turn = await api.outputTurns.take(api.clientAddress(incoming));
  const source = pieces();
  // The first piece is read before the head is sent: a store that is gone is still answered 503.
  const first = await source.next();
  outgoing.writeHead(200, {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
  });
  if (c.req.raw.method === "HEAD") {
    await source.return(undefined);
    outgoing.end();
    return RESPONSE_ALREADY_SENT;
  }
  const writer = new PacedWriter(outgoing, api.bounds.stallMs);
  try {
    let held = first.done === true ? "" : first.value;
    for await (const piece of source) {
      held += piece;
      if (held.length < WRITE_CHARS_MIN) continue;
      await writer.write(held);
      held = "";
    }
    await writer.write(held);
  } finally {
    await source.return(undefined);
  }
  outgoing.end();
  return RESPONSE_ALREADY_SENT;
}
