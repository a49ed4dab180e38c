/** The multipart form of an upload, through busboy: parts named `archive` or `file` go to the spool, the last one wins. */
import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import { Busboy, type BusboyInstance } from "@fastify/busboy";
import { AppError } from "../kernel/errors.ts";
import type { Digest } from "../kernel/ids.ts";
import { limits } from "../kernel/limits.ts";
import { type OpenFile, openSpool, type SpoolFile } from "./spool.ts";
import type { ReceivedArchive } from "./upload.ts";
import { missingArchive, tooLarge, uploadFailed } from "./upload-errors.ts";

export interface MultipartOptions {
  readonly folder: string;
  readonly archiveBytesMax: number;
  readonly signal: AbortSignal;
  /** called with every chunk of the raw body; what it throws ends the upload */
  readonly onBytes: (chunk: Buffer) => void;
  /** told when reading the body waits for the disk, and when it goes on */
  readonly onPause: (paused: boolean) => void;
  readonly openFile?: OpenFile;
}

interface Part {
  readonly spool: SpoolFile;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** @throws AppError of the contract's rows 7–9, `disk_full`, or the signal's reason; the spool is empty then */
export async function receiveMultipart(
  body: Readable,
  contentType: string,
  options: MultipartOptions,
): Promise<ReceivedArchive> {
  const form = openForm(contentType);
  const abort = new AbortController();
  let last: Part | undefined;
  let work: Promise<void> = Promise.resolve();
  const streams: Readable[] = [];
  const take = async (stream: Readable) => {
    await last?.spool[Symbol.asyncDispose]();
    last = undefined;
    last = await receivePart(stream, options);
  };
  form.on("file", (_name, stream) => {
    stream.on("error", ignoreLate);
    streams.push(stream);
    work = work.then(() => take(stream));
    work.catch((error: unknown) => abort.abort(error));
  });
  for (const event of ["partsLimit", "filesLimit", "fieldsLimit"] as const) {
    form.on(event, () => abort.abort(uploadFailed(`the form has more than ${limits.uploadPartsMax} parts`)));
  }
  try {
    await pump(body, form, abort.signal, options);
    await work;
    if (last === undefined || last.sizeBytes === 0) throw missingArchive();
    const { spool, digest, sizeBytes } = last;
    await spool.close();
    last = undefined;
    return { path: spool.path, digest, sizeBytes, [Symbol.asyncDispose]: () => spool[Symbol.asyncDispose]() };
  } finally {
    form.removeAllListeners("file").on("error", ignoreLate).destroy();
    for (const stream of streams) stream.destroy();
    await work.catch(ignoreLate);
    await last?.spool[Symbol.asyncDispose]();
  }
}

function openForm(contentType: string): BusboyInstance {
  const isArchive = (name: string | undefined) => name === "archive" || name === "file";
  try {
    return new Busboy({
      headers: { "content-type": contentType },
      isPartAFile: isArchive,
      fileHwm: 256 * 1024,
      limits: {
        parts: limits.uploadPartsMax,
        fieldSize: limits.uploadFieldBytesMax,
        headerPairs: 32,
        headerSize: limits.headerBytesMax,
      },
    });
  } catch (error) {
    throw uploadFailed("the Content-Type header names no multipart boundary", error);
  }
}

async function receivePart(stream: Readable, options: MultipartOptions): Promise<Part> {
  const spool = await openSpool(options.folder, options.openFile);
  try {
    const hash = createHash("sha256");
    let sizeBytes = 0;
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length;
      if (sizeBytes > options.archiveBytesMax) throw tooLarge(options.archiveBytesMax);
      hash.update(chunk);
      await spool.write(chunk);
    }
    return { spool, digest: hash.digest("hex") as Digest, sizeBytes };
  } catch (error) {
    await spool[Symbol.asyncDispose]();
    throw error instanceof AppError ? error : uploadFailed("the form ended in the middle of the archive", error);
  }
}

/** Feeds the body to the form until both have ended; the body is left paused when that fails. */
async function pump(
  body: Readable,
  form: BusboyInstance,
  partFailed: AbortSignal,
  options: MultipartOptions,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const signal = AbortSignal.any([options.signal, partFailed]);
  const cut = (cause?: unknown) => reject(uploadFailed("the upload broke off before its end", cause));
  const onData = (chunk: Buffer) => {
    try {
      options.onBytes(chunk);
      if (form.write(chunk)) return;
      body.pause();
      options.onPause(true);
    } catch (error) {
      reject(error);
    }
  };
  const onDrain = () => {
    if (body.readableEnded) return;
    options.onPause(false);
    body.resume();
  };
  const onClose = () => void (body.readableEnded || cut());
  const onAbort = () => reject(signal.reason);
  form.on("drain", onDrain);
  form.on("finish", resolve);
  form.on("error", (error) => reject(uploadFailed("the multipart form is malformed or cut off", error)));
  const onEnd = () => {
    options.onPause(true); // all has come; what is waited for now is the disk
    form.end();
  };
  body.on("end", onEnd).on("error", cut).on("close", onClose);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    if (body.destroyed && !body.readableEnded) cut();
    body.on("data", onData);
    await promise;
  } finally {
    signal.removeEventListener("abort", onAbort);
    body.off("data", onData).off("end", onEnd).off("close", onClose).off("error", cut).on("error", ignoreLate);
    form.off("drain", onDrain);
    body.pause();
  }
}

/** Streams that were given up can fail once more; the upload has had its first error. */
function ignoreLate(): void {}
