import { deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type ZipLie, type ZipShape, zip64End, zipOf } from "./craft.ts";
import { filesOf, refusalOf, scratchFolder } from "./support.ts";

const scratch = scratchFolder();
const _mebibyte = Buffer.alloc(1024 ** 2);

describe("zip: refused", () => {
  const rows: readonly { row: string; why: string; entries: readonly ZipLie[]; shape?: ZipShape; reason: RegExp }[] = [
    { row: "Z04", why: "climbs", entries: [{ name: "a/../../x" }], reason: /"a\/\.\.\/\.\.\/x" climbs/ },
    { row: "Z04", why: "absolute", entries: [{ name: "/etc/x" }], reason: /"\/etc\/x" has an absolute path/ },
    { row: "Z04", why: "drive letter", entries: [{ name: "C:/x" }], reason: /absolute path/ },
    { row: "Z04", why: "backslash", entries: [{ name: "a\\..\\x" }], reason: /backslash/ },
    { row: "Z04", why: "NUL", entries: [{ name: "a\0b" }], reason: /"a\\u0000b" has a control character/ },
    { row: "Z04", why: "newline and escape codes", entries: [{ name: "a\n\x1b[2J" }], reason: /control character/ },
    { row: "Z04", why: "right-to-left override", entries: [{ name: "a\u202egpj.sh" }], reason: /control character/ },
    { row: "Z04", why: "not UTF-8", entries: [{ name: Buffer.from([0x61, 0xff, 0xfe]) }], reason: /not valid UTF-8/ },
    { row: "Z04", why: "no name", entries: [{ name: "" }], reason: /has no name/ },
    {
      row: "Z05",
      why: "symbolic link",
      entries: [{ name: "l", data: "/etc", mode: 0o120777 }],
      reason: /"l" is a symbolic link/,
    },
    { row: "Z06", why: "device", entries: [{ name: "d", mode: 0o020666 }], reason: /character device/ },
    { row: "Z06", why: "fifo", entries: [{ name: "f", mode: 0o010666 }], reason: /fifo/ },
    { row: "Z06", why: "setuid", entries: [{ name: "s", mode: 0o104755 }], reason: /setuid or setgid/ },
    { row: "Z07", why: "same name twice", entries: [{ name: "a" }, { name: "a" }], reason: /"a" appears twice/ },
    {
      row: "Z07",
      why: "file, then folder",
      entries: [{ name: "a" }, { name: "a/b" }],
      reason: /both a file and a folder/,
    },
    {
      row: "Z07",
      why: "folder, then file",
      entries: [{ name: "a/b" }, { name: "a" }],
      reason: /both a file and a folder/,
    },
    {
      row: "Z07",
      why: "case twin",
      entries: [{ name: "t/Read" }, { name: "t/rEAD" }],
      reason: /only in case or Unicode form/,
    },
    {
      row: "Z07",
      why: "case twin of a folder",
      entries: [{ name: "T/a" }, { name: "t/b" }],
      reason: /only in case or Unicode form/,
    },
    {
      row: "Z07",
      why: "NFC and NFD",
      entries: [{ name: "\u00e9" }, { name: "e\u0301" }],
      reason: /only in case or Unicode form/,
    },
    {
      row: "Z10",
      why: "longer than it says",
      entries: [{ name: "a", data: "hello", size: 2 }],
      reason: /another size|longer than/,
    },
    {
      row: "Z10",
      why: "shorter than it says",
      entries: [{ name: "a", data: "hello", size: 9 }],
      reason: /another size/,
    },
    {
      row: "Z10",
      why: "stored, sizes differ",
      entries: [{ name: "a", data: "hello", size: 9, method: 0 }],
      reason: /mismatch/,
    },
    {
      row: "Z10",
      why: "compressed size beyond the file",
      entries: [{ name: "a", data: "x", compressedSize: 999_999 }],
      reason: /overflow|overlap/,
    },
    { row: "Z10", why: "wrong checksum", entries: [{ name: "a", data: "hello", crc: 1 }], reason: /checksum is wrong/ },
    {
      row: "Z10",
      why: "other name in the local header",
      entries: [{ name: "a", localName: "b" }],
      reason: /contradict/,
    },
    {
      row: "Z11",
      why: "trailing data",
      entries: [{ name: "a" }],
      shape: { trailing: Buffer.from("more") },
      reason: /after its end record|no end record/,
    },
    {
      row: "Z11",
      why: "data before",
      entries: [{ name: "a" }],
      shape: { prefix: zipOf([{ name: "b" }]) },
      reason: /before its first entry/,
    },
    {
      row: "Z11",
      why: "data between",
      entries: [{ name: "a", gap: Buffer.from("hidden") }, { name: "b" }],
      reason: /belongs to no entry/,
    },
    {
      row: "Z11",
      why: "two end records",
      entries: [{ name: "a" }],
      shape: { comment: zipOf([{ name: "b" }]) },
      reason: /not where its end record says/,
    },
    {
      row: "Z11",
      why: "more entries than said",
      entries: [{ name: "a" }, { name: "b" }],
      shape: { count: 1 },
      reason: /another size than it says/,
    },
    {
      row: "Z11",
      why: "fewer entries than said",
      entries: [{ name: "a" }],
      shape: { count: 2 },
      reason: /damaged|invalid/,
    },
    { row: "Z11", why: "several disks", entries: [{ name: "a" }], shape: { disk: 1 }, reason: /several disks/ },
    {
      row: "Z11",
      why: "directory elsewhere",
      entries: [{ name: "a" }],
      shape: { directoryOffset: 3 },
      reason: /not where its end record says/,
    },
    { row: "Z12", why: "encrypted", entries: [{ name: "a", flags: 0x801 }], reason: /encrypted/ },
    { row: "Z12", why: "strongly encrypted", entries: [{ name: "a", flags: 0x841 }], reason: /encrypt/ },
    { row: "Z12", why: "method 99", entries: [{ name: "a", method: 99 }], reason: /compression method 99/ },
    { row: "Z12", why: "method 12 (bzip2)", entries: [{ name: "a", method: 12 }], reason: /compression method 12/ },
    {
      row: "Z12",
      why: "zip64 record tells another count",
      entries: [{ name: "a" }],
      shape: { zip64: (f) => zip64End({ ...f, count: 2 }, f.start + f.size) },
      reason: /contradict/,
    },
    {
      row: "Z12",
      why: "zip64 locator points elsewhere",
      entries: [{ name: "a" }],
      shape: { zip64: (f) => zip64End(f, 0) },
      reason: /zip64 end record/,
    },
    {
      row: "Z12",
      why: "zip64 count above every limit",
      entries: [{ name: "a" }],
      shape: { count: 0xffff, zip64: (f) => zip64End({ ...f, count: 2 ** 40 }, f.start + f.size) },
      reason: /more than 20000 entries/,
    },
    {
      row: "Z13",
      why: "1500 levels",
      entries: [{ name: `${"a/".repeat(400)}x` }],
      reason: /401 levels deep; at most 32/,
    },
    {
      row: "Z13",
      why: "5000 characters",
      entries: [{ name: "n".repeat(5_000) }],
      reason: /path of 5000 bytes; at most 1024/,
    },
    { row: "Z13", why: "one name of 300 bytes", entries: [{ name: "n".repeat(300) }], reason: /above 255 bytes/ },
    { row: "Z14", why: "empty", entries: [], reason: /no entries/ },
    {
      row: "Z02",
      why: "bomb",
      entries: [{ name: "a", data: Buffer.alloc(64 * 1024 ** 2) }],
      reason: /more than 200 times/,
    },
    { row: "Z02", why: "says 4 GB", entries: [{ name: "a", data: "x", size: 0xfffffff0 }], reason: /more than/ },
  ];
  test.each(rows)("$row $why", async ({ entries, shape, reason }) => {
    const refused = await refusalOf(filesOf(zipOf(entries, shape), scratch.path()));
    expect(refused).toMatchObject({ code: "extraction_failed", reason: expect.stringMatching(reason) });
    expect(refused.message).toBe("Failed to extract archive. Ensure it is a valid zip or tar.gz.");
    expect(refused.reason).toMatch(/^[\x20-\x7e…]{1,400}$/);
  });

  test("Z02 overlapping entries: a kilobyte that names itself 2 GB", async () => {
    const raw = deflateRawSync(Buffer.alloc(512 * 1024));
    const data = Buffer.alloc(512 * 1024);
    const first: ZipLie = { name: "f0", data, raw };
    const rest = Array.from(
      { length: 3_000 },
      (_, index): ZipLie => ({
        name: `f${index + 1}`,
        data,
        raw: Buffer.alloc(0),
        compressedSize: raw.length,
        offset: 0,
      }),
    );
    const started = performance.now();
    const refused = await refusalOf(filesOf(zipOf([first, ...rest]), scratch.path()));
    expect(refused.reason).toMatch(/more than 200 times|overlaps/);
    expect(performance.now() - started).toBeLessThan(3_000);
  });

  test("Z02 overlapping entries within every size limit", async () => {
    const shared: ZipLie = { name: "f0", data: "same" };
    const refused = await refusalOf(
      filesOf(
        zipOf([shared, { name: "f1", data: "same", raw: Buffer.alloc(0), compressedSize: 6, offset: 0 }]),
        scratch.path(),
      ),
    );
    expect(refused.reason).toMatch(/overlaps/);
  });

  test("Z02 200 000 empty entries are refused by the end record's count", async () => {
    const bytes = zipOf([{ name: "a" }], {
      count: 0xffff,
      zip64: (f) => zip64End({ ...f, count: 200_000 }, f.start + f.size),
    });
    const started = performance.now();
    expect((await refusalOf(filesOf(bytes, scratch.path()))).reason).toMatch(/more than 20000 entries/);
    expect(performance.now() - started).toBeLessThan(500);
  });

  test("Z10 cut at every length", async () => {
    const whole = zipOf([
      { name: "tasks/a", data: "hello" },
      { name: "b", data: "world" },
    ]);
    for (let length = 0; length < whole.length; length += 3) {
      expect((await refusalOf(filesOf(whole.subarray(0, length), scratch.path()))).code).toBe("extraction_failed");
    }
  });
});
