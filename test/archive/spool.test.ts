/** The spool folder: what a dead process left is swept, what lives stays. */
import { createHash } from "node:crypto";
import { utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { Readable } from "node:stream";
import { describe, expect, test } from "vitest";
import { sweepSpool } from "../../src/archive/spool.ts";
import { createReceiver, type UploadInput, type UploadOptions } from "../../src/archive/upload.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { formOf, type Part } from "./form.ts";
import { namesIn, scratchFolder } from "./support.ts";

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

const _sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const input = (parts: readonly Part[], changes: Partial<UploadInput> = {}): UploadInput => {
  const { body, contentType } = formOf(parts);
  return { body: Readable.from(chunked(body, 1_000)), contentType, ...changes };
};
function chunked(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
}

describe("sweeping", () => {
  test("what a killed process left goes, what lives stays", async () => {
    const { folder, receiver: r } = receiver();
    await using live = await r.receive(input([{ name: "file", filename: "a", content: Buffer.from("x") }]));
    const host = hostname()
      .replace(/[^A-Za-z0-9.]/g, "_")
      .slice(0, 64);
    const id = "0".repeat(32);
    const rows = [
      { why: "dead process of this host", name: `proctor-spool-${host}-4194303-${id}`, stays: false },
      { why: "living process of this host", name: `proctor-spool-${host}-${process.ppid}-${id}`, stays: true },
      { why: "another host, fresh", name: `proctor-spool-elsewhere-1-${id}`, stays: true },
      { why: "another host, old", name: `proctor-spool-elsewhere-2-${id}`, stays: false },
      { why: "not ours", name: "README", stays: true },
    ];
    for (const { name } of rows) await writeFile(`${folder}/${name}`, "");
    const old = new Date(Date.now() - 26 * 3_600_000);
    await utimes(`${folder}/proctor-spool-elsewhere-2-${id}`, old, old);
    // Its own pid at start means an earlier life of the same container.
    expect(await sweepSpool(folder)).toBe(3);
    const left = await namesIn(folder);
    for (const { name, stays } of rows) expect(left.includes(name)).toBe(stays);
    expect(left).not.toContain(live.path.slice(folder.length + 1));
  });

  test("a folder that isn't there yet", async () => expect(await sweepSpool(scratch.path("nowhere"))).toBe(0));
});
