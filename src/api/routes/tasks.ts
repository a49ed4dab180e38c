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
import { jsonTextPieces } from "../json-text.ts";
import { PacedWriter } from "../paced-writer.ts";
import { batchNotFound, parseBatchPath, parseTaskPath, taskNotFound } from "../wire/query.ts";
import { type OutputsVisible, taskListItemToWire, taskToWire, textFields } from "../wire/task.ts";

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
      return writeJson(api, c, () => taskPieces(api, task, taskToWire(task, outputs), outputs));
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
      yield* taskPieces(api, task, taskListItemToWire(task, outputs), outputs);
    }
    if (page.length < PAGE_COUNT) break;
  }
  yield "]}";
}

/** `head` and then the texts, each from its blob. */
async function* taskPieces(api: Api, task: TaskRow, head: object, outputs: OutputsVisible): AsyncGenerator<string> {
  yield JSON.stringify(head).slice(0, -1);
  for (const { name, blob } of textFields) {
    const digest = task[blob];
    yield `,${JSON.stringify(name)}:"`;
    if (digest !== null && outputs === "full") {
      const text = await openText(api, digest);
      if (text !== undefined) yield* jsonTextPieces(text, api.bounds.textPieceBytes);
    }
    yield '"';
  }
  yield "}";
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
