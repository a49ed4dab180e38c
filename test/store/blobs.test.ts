import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openBlobs } from "../../src/store/blobs.ts";
import type { BlobStore } from "../../src/store/port.ts";

let dir: string;
let blobs: BlobStore;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "proctor-blobs-"));
  blobs = await openBlobs(dir);
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const digestOf = (bytes: Buffer | string) => createHash("sha256").update(bytes).digest("hex");
const drafts = () => readdirSync(join(dir, "blobs", "tmp"));

test("put, has, get, stream, path, remove", async () => {
  const bytes = Buffer.from([0, 255, 1, 128]);
  const digest = await blobs.put(bytes);
  expect(digest).toBe(digestOf(bytes));
  expect(await blobs.put(bytes)).toBe(digest);
  expect(await blobs.has(digest)).toBe(true);
  expect(await blobs.get(digest)).toEqual(bytes);
  expect(await buffer(await blobs.stream(digest))).toEqual(bytes);
  expect(readFileSync(blobs.path(digest))).toEqual(bytes);
  expect(statSync(blobs.path(digest)).mode & 0o777).toBe(0o600);
  await blobs.remove(digest);
  await blobs.remove(digest);
  expect(await blobs.has(digest)).toBe(false);
  expect(await blobs.get(digest)).toBeUndefined();
  await expect(blobs.stream(digest)).rejects.toMatchObject({ code: "not_found" });
  expect(await blobs.put("é")).toBe(digestOf("é"));
  expect(drafts()).toEqual([]);
});

test("the same bytes from many at once are kept once", async () => {
  const digests = await Promise.all(Array.from({ length: 30 }, () => blobs.put("same")));
  expect(new Set(digests).size).toBe(1);
  expect(await blobs.get(digestOf("same"))).toEqual(Buffer.from("same"));
  expect(drafts()).toEqual([]);
});

test("adopt moves a file, or removes it where its bytes are kept already", async () => {
  for (const _ of [1, 2]) {
    const file = join(dir, "upload");
    writeFileSync(file, "archive");
    await blobs.adopt(file, digestOf("archive"));
    expect(existsSync(file)).toBe(false);
    expect(await blobs.get(digestOf("archive"))).toEqual(Buffer.from("archive"));
  }
});

const otherDisk = existsSync("/dev/shm") && statSync("/dev/shm").dev !== statSync(tmpdir()).dev;
test.skipIf(!otherDisk)("adopt copies across devices (skipped where /dev/shm is no other device)", async () => {
  const elsewhere = mkdtempSync("/dev/shm/proctor-blobs-");
  const file = join(elsewhere, "upload");
  writeFileSync(file, "far away");
  await blobs.adopt(file, digestOf("far away"));
  expect(existsSync(file)).toBe(false);
  expect(await blobs.get(digestOf("far away"))).toEqual(Buffer.from("far away"));
  expect(drafts()).toEqual([]);
  rmSync(elsewhere, { recursive: true });
});

test("what an interrupted write left is removed at the next start", async () => {
  writeFileSync(join(dir, "blobs", "tmp", "left"), "half");
  await openBlobs(dir);
  expect(drafts()).toEqual([]);
});

test("reading at once is bounded", async () => {
  const small = await openBlobs(dir, 10);
  const digest = await small.put("x".repeat(11));
  await expect(small.get(digest)).rejects.toThrow(/11 bytes, above the 10/);
});

test.each(["", "../../etc/passwd", "A".repeat(64), "0".repeat(63), `${"0".repeat(63)}/`])(
  "%j is no digest and never becomes a path",
  async (digest) => {
    await expect(blobs.get(digest)).rejects.toThrow(/64 lower-case hex/);
    await expect(blobs.has(digest)).rejects.toThrow(/64 lower-case hex/);
    await expect(blobs.remove(digest)).rejects.toThrow(/64 lower-case hex/);
    expect(() => blobs.path(digest)).toThrow(/64 lower-case hex/);
  },
);
