/** Threat rows U01–U06 at the function: forms, lengths, stalls, cuts, slots, full disks; the spool is empty after each. */
import { createHash, randomBytes } from "node:crypto";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { createReceiver, type UploadInput, type UploadOptions } from "../../src/archive/upload.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { AppError } from "../../src/kernel/errors.ts";
import { parseDigest } from "../../src/kernel/ids.ts";
import { deferred } from "../../src/kernel/signals.ts";
import { formOf, type Part } from "./form.ts";
import { namesIn, refusalOf, scratchFolder } from "./support.ts";

const scratch = scratchFolder();
let serial = 0;

function receiver(changes: Partial<UploadOptions> = {}) {
  const folder = scratch.path(`spool-${serial++}`);
  const options = {
    folder,
    archiveBytesMax: 100_000,
    timeoutMs: 10_000,
    idleMs: 5_000,
    uploadsMax: 2,
    clock: systemClock,
  };
  return { folder, receiver: createReceiver({ ...options, ...changes }) };
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const input = (parts: readonly Part[], changes: Partial<UploadInput> = {}): UploadInput => {
  const { body, contentType } = formOf(parts);
  return { body: Readable.from(chunked(body, 1_000)), contentType, ...changes };
};
function chunked(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
}

describe("received", () => {
  const content = randomBytes(50_000);
  const rows: readonly { row: string; why: string; parts: readonly Part[] }[] = [
    { row: "U01", why: "part archive", parts: [{ name: "archive", filename: "a.zip", content }] },
    { row: "U01", why: "part file", parts: [{ name: "file", filename: "a.zip", content }] },
    {
      row: "U01",
      why: "two files: the last one wins",
      parts: [
        { name: "archive", filename: "a", content: randomBytes(30_000) },
        { name: "file", filename: "b", content },
      ],
    },
    { row: "U01", why: "without a file name", parts: [{ name: "archive", content }] },
    {
      row: "U02",
      why: "other fields are ignored",
      parts: [
        { name: "note", content: Buffer.alloc(200_000, "x") },
        { name: "archive", filename: "a", content },
        { name: "x", content: Buffer.from("y") },
      ],
    },
    {
      row: "U02",
      why: "other files are ignored",
      parts: [
        { name: "archive", filename: "a", content },
        { name: "photo", filename: "p", content: Buffer.alloc(90_000) },
      ],
    },
    ...["../../etc/passwd", "/etc/passwd", "a\\b", "$(id).zip", "-rf", "<b>", "ü.zip", "con", "x".repeat(3_000)].map(
      (filename) => ({
        row: "U02",
        why: `file name ${filename.slice(0, 20)}`,
        parts: [{ name: "archive", filename, content }],
      }),
    ),
  ];
  test.each(rows)("$row $why", async ({ parts }) => {
    const { folder, receiver: r } = receiver();
    {
      await using archive = await r.receive(input(parts));
      expect(archive.digest).toBe(sha256(content));
      expect(archive.sizeBytes).toBe(content.length);
      expect(await namesIn(folder)).toHaveLength(1);
      expect(archive.path.startsWith(`${folder}/proctor-spool-`)).toBe(true);
    }
    expect(await namesIn(folder)).toEqual([]);
    expect(r.activeCount()).toBe(0);
  });

  test("a body of one byte at a time", async () => {
    const { receiver: r } = receiver();
    const { body, contentType } = formOf([{ name: "archive", filename: "a", content: Buffer.from("hello") }]);
    await using archive = await r.receive({ body: Readable.from(chunked(body, 1)), contentType });
    expect(archive.digest).toBe(sha256(Buffer.from("hello")));
  });

  test.each(["the archive's digest", "the raw body's digest"])("a signature may bind %s", async (which) => {
    const { receiver: r } = receiver();
    const form = formOf([{ name: "archive", filename: "a", content }]);
    const bodyDigest = parseDigest(sha256(which.includes("raw") ? form.body : content));
    await using archive = await r.receive({
      body: Readable.from([form.body]),
      contentType: form.contentType,
      bodyDigest,
    });
    expect(archive.sizeBytes).toBe(content.length);
  });

  test("exactly the maximum", async () => {
    const { receiver: r } = receiver();
    await using archive = await r.receive(input([{ name: "archive", filename: "a", content: Buffer.alloc(100_000) }]));
    expect(archive.sizeBytes).toBe(100_000);
  });
});

describe("refused; the spool is empty after it", () => {
  const archive = (bytes: number): Part => ({ name: "archive", filename: "a", content: Buffer.alloc(bytes) });
  const missing = "No archive file uploaded. Send a multipart form with field 'archive'.";
  const tooLarge = "Archive exceeds maximum size of 100000 bytes";
  const failed = "Failed to read uploaded archive";
  const whole = formOf([archive(50_000)]);
  const rows: readonly { row: string; why: string; given: () => UploadInput; code: string; message: string }[] = [
    { row: "U01", why: "no part", given: () => input([]), code: "missing_archive", message: missing },
    {
      row: "U01",
      why: "no archive part",
      given: () => input([{ name: "x", content: Buffer.from("y") }]),
      code: "missing_archive",
      message: missing,
    },
    {
      row: "U01",
      why: "an empty archive",
      given: () => input([archive(0)]),
      code: "missing_archive",
      message: missing,
    },
    {
      row: "U01",
      why: "the last one is empty",
      given: () => input([archive(10), archive(0)]),
      code: "missing_archive",
      message: missing,
    },
    {
      row: "U01",
      why: "no content type",
      given: () => input([archive(1)], { contentType: undefined }),
      code: "missing_archive",
      message: missing,
    },
    {
      row: "U01",
      why: "JSON",
      given: () => input([archive(1)], { contentType: "application/json" }),
      code: "missing_archive",
      message: missing,
    },
    {
      row: "U01",
      why: "urlencoded",
      given: () => input([archive(1)], { contentType: "application/x-www-form-urlencoded" }),
      code: "missing_archive",
      message: missing,
    },
    {
      row: "U01",
      why: "no boundary",
      given: () => input([archive(1)], { contentType: "multipart/form-data" }),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "U01",
      why: "another boundary",
      given: () => input([archive(1)], { contentType: "multipart/form-data; boundary=zzz" }),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "U01",
      why: "an empty body",
      given: () => ({ body: Readable.from([]), contentType: whole.contentType }),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "U02",
      why: "10 000 fields",
      given: () =>
        input([
          ...Array.from({ length: 10_000 }, (_, n) => ({ name: `f${n}`, content: Buffer.from("x") })),
          archive(10),
        ]),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "U03",
      why: "one byte too long by stream",
      given: () => input([archive(100_001)]),
      code: "archive_too_large",
      message: tooLarge,
    },
    {
      row: "U03",
      why: "too long by header",
      given: () => input([archive(1)], { contentLength: "2000000" }),
      code: "archive_too_large",
      message: tooLarge,
    },
    {
      row: "U03",
      why: "too long by header and no form: the contract's row 8 stands before row 9",
      given: () => input([archive(1)], { contentLength: "2000000", contentType: "application/octet-stream" }),
      code: "archive_too_large",
      message: tooLarge,
    },
    {
      row: "U03",
      why: "too long by what is not the archive",
      given: () => input([{ name: "x", content: Buffer.alloc(1_200_000) }, archive(1)]),
      code: "archive_too_large",
      message: tooLarge,
    },
    {
      row: "U03",
      why: "malformed length",
      given: () => input([archive(1)], { contentLength: "1e9" }),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "U06",
      why: "gzip body",
      given: () => input([archive(1)], { contentEncoding: "gzip" }),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "U06",
      why: "unknown encoding",
      given: () => input([archive(1)], { contentEncoding: "zstd, br" }),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "U04",
      why: "cut at half",
      given: () => ({ body: Readable.from([whole.body.subarray(0, 25_000)]), contentType: whole.contentType }),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "U04",
      why: "connection lost",
      given: () => ({ body: broken(whole.body.subarray(0, 25_000)), contentType: whole.contentType }),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "U04",
      why: "connection lost before the first byte",
      given: () => ({ body: broken(Buffer.alloc(0)), contentType: whole.contentType }),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "U04",
      why: "connection was lost before",
      given: () => ({ body: gone(), contentType: whole.contentType }),
      code: "upload_failed",
      message: failed,
    },
    {
      row: "A06",
      why: "another digest is bound",
      given: () => input([archive(10)], { bodyDigest: parseDigest("0".repeat(64)) }),
      code: "body_mismatch",
      message: "The body's SHA-256 is not the one that the signature binds. No vote was counted.",
    },
  ];
  test.each(rows)("$row $why", async ({ given, code, message }) => {
    const { folder, receiver: r } = receiver();
    expect(await refusalOf(r.receive(given()))).toMatchObject({ code, message });
    expect(await namesIn(folder)).toEqual([]);
    expect(r.activeCount()).toBe(0);
  });

  test("U04 cut at 99 %, 50 times at once", async () => {
    const { folder, receiver: r } = receiver({ uploadsMax: 50 });
    const cut = whole.body.subarray(0, Math.floor(whole.body.length * 0.99));
    const all = Array.from({ length: 50 }, (_, n) =>
      refusalOf(r.receive({ body: n % 2 ? broken(cut) : Readable.from([cut]), contentType: whole.contentType })),
    );
    for (const refused of await Promise.all(all)) expect(refused.code).toBe("upload_failed");
    expect(await namesIn(folder)).toEqual([]);
    expect(r.activeCount()).toBe(0);
  });

  test.each([
    { why: "stall at half", slow: false },
    { why: "one byte at a time", slow: true },
  ])("U05 $why ends at the idle deadline", async ({ slow }) => {
    const { folder, receiver: r } = receiver({ idleMs: 150 });
    const body = new Readable({ read() {} });
    body.push(whole.body.subarray(0, 25_000));
    const drip = setInterval(() => slow && body.push(Buffer.from("x")), 10);
    const started = performance.now();
    const refused = await refusalOf(r.receive({ body, contentType: whole.contentType }));
    clearInterval(drip);
    expect(refused).toMatchObject({ code: "upload_timeout", message: expect.stringContaining("0.15 s") });
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(await namesIn(folder)).toEqual([]);
    expect(body.destroyed).toBe(false);
  });

  test("U05 a slow upload that never stalls ends at the whole deadline", async () => {
    const { folder, receiver: r } = receiver({ idleMs: 1_000, timeoutMs: 250, archiveBytesMax: 10 ** 9 });
    const body = new Readable({ read() {} });
    body.push(whole.body.subarray(0, 25_000));
    const drip = setInterval(() => body.push(Buffer.alloc(4_096)), 10);
    const refused = await refusalOf(r.receive({ body, contentType: whole.contentType }));
    clearInterval(drip);
    expect(refused).toMatchObject({ code: "upload_timeout", message: expect.stringContaining("0.25 s") });
    expect(await namesIn(folder)).toEqual([]);
  });

  test("an abort ends it with the signal's reason", async () => {
    const { folder, receiver: r } = receiver();
    const abort = new AbortController();
    const body = new Readable({ read() {} });
    body.push(whole.body.subarray(0, 25_000));
    const receiving = r.receive({ body, contentType: whole.contentType, signal: abort.signal });
    abort.abort(new Error("server stops"));
    await expect(receiving).rejects.toThrow("server stops");
    expect(await namesIn(folder)).toEqual([]);
    expect(r.activeCount()).toBe(0);
  });

  test("U06 no slot: busy at once, and free again when one ends", async () => {
    const { receiver: r } = receiver({ uploadsMax: 1 });
    const body = new Readable({ read() {} });
    const first = refusalOf(r.receive({ body, contentType: whole.contentType }));
    expect(await refusalOf(r.receive(input([archive(10)])))).toMatchObject({ code: "busy" });
    body.destroy();
    expect((await first).code).toBe("upload_failed");
    await using archived = await r.receive(input([archive(10)]));
    expect(archived.sizeBytes).toBe(10);
  });

  test("F07 the disk is full", async () => {
    const { folder, receiver: r } = receiver({ openFile: () => open("/dev/full", "w") });
    expect(await refusalOf(r.receive(input([archive(50_000)])))).toMatchObject({ code: "disk_full" });
    expect(await namesIn(folder)).toEqual([]);
    expect(r.activeCount()).toBe(0);
  });

  test("F07 a slow disk is not the caller's stall", async () => {
    const opened = deferred();
    const { receiver: r } = receiver({
      idleMs: 100,
      openFile: async (path, flags, mode) => {
        await opened.promise;
        return await open(path, flags, mode);
      },
    });
    // Larger than what is buffered between socket and file, so that reading pauses.
    const receiving = r.receive(input([archive(90_000)]));
    await systemClock.sleep(400);
    opened.resolve();
    await using received = await receiving.catch((error: unknown) => Promise.reject(error));
    expect(received.sizeBytes).toBe(90_000);
  });
});

test("errors are of the catalogue", async () => {
  const { receiver: r } = receiver();
  await expect(r.receive(input([]))).rejects.toBeInstanceOf(AppError);
});

/** A body whose connection is lost after `bytes`. */
function broken(bytes: Buffer): Readable {
  const body = new Readable({ read() {} });
  if (bytes.length > 0) body.push(bytes);
  setTimeout(() => body.destroy(Object.assign(new Error("aborted"), { code: "ECONNRESET" })), 5);
  return body;
}

function gone(): Readable {
  const body = new Readable({ read() {} });
  body.on("error", () => undefined);
  body.destroy();
  return body;
}
