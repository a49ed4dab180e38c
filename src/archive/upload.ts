/**
 * Receiving an upload: the body streams through the multipart parser into a spool file while it is hashed, with
 * back-pressure all the way, so that memory does not grow with the archive. Slots bound how many are received at once;
 * a deadline bounds the whole and a least rate bounds a stalled one (below 1 KiB in UPLOAD_IDLE_SECS it has stalled).
 * However it ends, the spool file is gone unless the caller took it over.
 */
import { createHash } from "node:crypto";
import type { Readable } from "node:stream";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { Digest } from "../kernel/ids.ts";
import { limits } from "../kernel/limits.ts";
import { anySignal } from "../kernel/signals.ts";
import { receivedBytes } from "./buffer-garbage.ts";
import { within } from "./deadline.ts";
import { receiveMultipart } from "./multipart.ts";
import type { OpenFile } from "./spool.ts";
import { missingArchive, tooLarge, uploadFailed } from "./upload-errors.ts";

export interface UploadOptions {
  /** WORKSPACE_BASE; made when it is missing */
  readonly folder: string;
  readonly archiveBytesMax: number;
  readonly timeoutMs: number;
  readonly idleMs: number;
  readonly uploadsMax: number;
  readonly clock: Clock;
  /** tests put a failing disk in its place */
  readonly openFile?: OpenFile;
}

export interface UploadInput {
  /** the raw body; on failure it is left paused, and the door answers and closes */
  readonly body: Readable;
  readonly contentType: string | undefined;
  readonly contentLength?: string | undefined;
  readonly contentEncoding?: string | undefined;
  /** digest that the signature bound: of the archive, or of the raw body */
  readonly bodyDigest?: Digest | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An archive in the spool. Disposing removes the file; after `BlobStore.adopt` there is nothing left to remove. */
export interface ReceivedArchive extends AsyncDisposable {
  readonly path: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export interface Receiver {
  /**
   * @throws AppError rows 7–9 of the contract (`upload_failed`, `archive_too_large`, `missing_archive`), `body_mismatch`,
   * `upload_timeout`, `busy` (no slot free), `disk_full`; the signal's reason after an abort
   */
  receive(input: UploadInput): Promise<ReceivedArchive>;
  /** uploads being received now */
  activeCount(): number;
}

export function createReceiver(options: UploadOptions): Receiver {
  let active = 0;
  return {
    activeCount: () => active,
    async receive(input) {
      checkHead(input, options.archiveBytesMax);
      if (active >= options.uploadsMax) {
        throw new AppError("busy", `All ${options.uploadsMax} upload slots are in use. Please retry shortly.`);
      }
      active++;
      try {
        return await receiveInTime(input, options);
      } finally {
        active--;
      }
    },
  };
}

/** What the headers alone decide, in the order of the contract's rows. */
function checkHead(input: UploadInput, archiveBytesMax: number): void {
  const encoding = input.contentEncoding?.trim().toLowerCase() ?? "";
  if (encoding !== "" && encoding !== "identity") {
    throw uploadFailed("compressed request bodies are not read; send the form without Content-Encoding");
  }
  const length = input.contentLength?.trim() ?? "";
  if (length !== "" && !/^\d{1,15}$/.test(length)) throw uploadFailed("Content-Length is malformed");
  if (Number(length) > archiveBytesMax + limits.uploadFramingBytesMax) throw tooLarge(archiveBytesMax);
  if (!/^multipart\/form-data\s*(;|$)/i.test(input.contentType?.trim() ?? "")) throw missingArchive();
}

async function receiveInTime(input: UploadInput, options: UploadOptions): Promise<ReceivedArchive> {
  const { clock, timeoutMs, idleMs } = options;
  const late = () =>
    new AppError("upload_timeout", `The upload took more than ${timeoutMs / 1_000} s. Retry over a faster line.`);
  return await within(clock, timeoutMs, input.signal, late, async (signal) => {
    const stalled = new AbortController();
    const ended = new AbortController();
    const meter = createMeter(input, options);
    void watch(clock, idleMs, meter, ended.signal).then(
      () =>
        stalled.abort(new AppError("upload_timeout", `The upload sent nothing for ${idleMs / 1_000} s. Please retry.`)),
      () => undefined,
    );
    try {
      const received = await receiveMultipart(input.body, input.contentType ?? "", {
        folder: options.folder,
        archiveBytesMax: options.archiveBytesMax,
        signal: anySignal(signal, stalled.signal),
        onBytes: meter.onBytes,
        onPause: meter.onPause,
        ...(options.openFile === undefined ? {} : { openFile: options.openFile }),
      });
      const bound = input.bodyDigest;
      if (bound !== undefined && bound !== received.digest && bound !== meter.bodyDigest()) {
        await received[Symbol.asyncDispose]();
        throw new AppError(
          "body_mismatch",
          "The body's SHA-256 is not the one that the signature binds. No vote was counted.",
        );
      }
      return received;
    } finally {
      ended.abort();
    }
  });
}

interface Meter {
  onBytes(chunk: Buffer): void;
  onPause(paused: boolean): void;
  /** milliseconds since the upload last made progress; 0 while we are the ones who wait */
  stalledMs(): number;
  bodyDigest(): string | undefined;
}

/** Counts and, where the signature bound a digest, hashes the raw body. */
function createMeter(input: UploadInput, options: UploadOptions): Meter {
  const { clock, archiveBytesMax } = options;
  const hash = input.bodyDigest === undefined ? undefined : createHash("sha256");
  let totalBytes = 0;
  let markBytes = 0;
  let markMs = clock.monotonicMs();
  let isPaused = false;
  return {
    onBytes(chunk) {
      totalBytes += chunk.length;
      receivedBytes(chunk.length);
      hash?.update(chunk);
      if (totalBytes > archiveBytesMax + limits.uploadFramingBytesMax) throw tooLarge(archiveBytesMax);
      if (totalBytes - markBytes < limits.uploadWindowBytesMin) return;
      markBytes = totalBytes;
      markMs = clock.monotonicMs();
    },
    onPause(paused) {
      isPaused = paused;
      markMs = clock.monotonicMs();
    },
    stalledMs: () => (isPaused ? 0 : clock.monotonicMs() - markMs),
    bodyDigest: () => hash?.digest("hex"),
  };
}

/** Resolves when the upload has stalled for `idleMs`; rejects when `ended` aborts. */
async function watch(clock: Clock, idleMs: number, meter: Meter, ended: AbortSignal): Promise<void> {
  for (;;) {
    const stalledMs = meter.stalledMs();
    if (stalledMs >= idleMs) return;
    await clock.sleep(idleMs - stalledMs, ended);
  }
}
