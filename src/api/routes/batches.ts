/** Batches: one, all of them in pages, and the verifiable result of one that has ended. */
import { AppError } from "../../kernel/errors.ts";
import type { BatchId } from "../../kernel/ids.ts";
import { type BatchRow, findBatch, listBatches } from "../../store/tables/batches.ts";
import { listTaskSummaries } from "../../store/tables/tasks.ts";
import { type Api, type ApiApp, type ApiContext, addRoute, admitReader, uptimeMs } from "../context.ts";
import { batchListToWire, batchToWire, hasEnded } from "../wire/batch.ts";
import { batchNotFound, parseBatchPath, parsePageCursor, parsePageLimit } from "../wire/query.ts";
import { verifyToWire } from "../wire/verify.ts";

export function addBatchRoutes(app: ApiApp, api: Api): void {
  addRoute(app, "/batches", { GET: (c) => list(api, c) });
  addRoute(app, "/batch/:id", {
    GET: async (c) => {
      admitReader(api, c);
      const batch = await readBatch(api, parseBatchPath(c.req.param("id") ?? ""));
      return c.json(batchToWire(batch, await listTaskSummaries(api.deps.store.db, batch.batch_id)));
    },
  });
  addRoute(app, "/verify/:id", {
    GET: async (c) => {
      admitReader(api, c);
      const batch = await readBatch(api, parseBatchPath(c.req.param("id") ?? ""));
      if (!hasEnded(batch)) {
        throw new AppError("not_finished", "This batch has not ended. Follow it at /batch/{id}/events and ask again.", {
          details: { status: batch.status },
        });
      }
      const tasks = await listTaskSummaries(api.deps.store.db, batch.batch_id);
      return c.json(verifyToWire(batch, tasks, { version: api.deps.instance.version, uptimeMs: uptimeMs(api) }));
    },
  });
}

/** Newest first. Where there are more, `Link: <…>; rel="next"` names the next page. */
async function list(api: Api, c: ApiContext): Promise<Response> {
  admitReader(api, c);
  const { db } = api.deps.store;
  const limit = parsePageLimit(c.req.queries("limit") ?? []);
  const cursor = parsePageCursor(c.req.queries("before") ?? []);
  const last = cursor === undefined ? undefined : await findBatch(db, cursor);
  if (cursor !== undefined && last === undefined) {
    throw new AppError("invalid_request", "before names a batch that is not kept: begin again without it", {
      details: { field: "before" },
    });
  }
  const before = last === undefined ? undefined : { createdAt: last.created_at, batchId: last.batch_id };
  const rows = await listBatches(db, { limit: limit + 1, before });
  const page = rows.slice(0, limit);
  const end = page.at(-1);
  if (rows.length > limit && end !== undefined) {
    c.header("Link", `</batches?limit=${limit}&before=${end.batch_id}>; rel="next"`);
  }
  return c.json(batchListToWire(page));
}

/** @throws AppError `not_found` */
async function readBatch(api: Api, id: BatchId): Promise<BatchRow> {
  const batch = await findBatch(api.deps.store.db, id);
  if (batch === undefined) throw batchNotFound();
  return batch;
}
