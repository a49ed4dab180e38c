/** Threat rows Z02, Z04–Z07, Z10–Z14: what the reader refuses, and what it takes. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deflateRawSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readArchive } from "../../src/archive/read-archive.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { pax, type TarLie, tarEntry, tarGzOf, tarOf, type ZipLie, type ZipShape, zip64End, zipOf } from "./craft.ts";
import { filesOf, refusalOf, scratchFolder } from "./support.ts";

const scratch = scratchFolder();
const mebibyte = Buffer.alloc(1024 ** 2);

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

describe("tar.gz: refused", () => {
  const global = (records: Record<string, string>): TarLie => ({ name: "g", type: "g", data: pax(records) });
  const local = (records: Record<string, string>): TarLie => ({ name: "x", type: "x", data: pax(records) });
  const rows: readonly { row: string; why: string; bytes: () => Buffer; reason: RegExp }[] = [
    { row: "Z04", why: "climbs", bytes: () => tarGzOf([{ name: "../x" }]), reason: /"\.\.\/x" climbs/ },
    { row: "Z04", why: "absolute", bytes: () => tarGzOf([{ name: "/etc/x" }]), reason: /absolute/ },
    { row: "Z04", why: "backslash", bytes: () => tarGzOf([{ name: "a\\b" }]), reason: /backslash/ },
    { row: "Z04", why: "control character", bytes: () => tarGzOf([{ name: "a\x07" }]), reason: /control character/ },
    {
      row: "Z04",
      why: "pax path climbs",
      bytes: () => tarGzOf([local({ path: "../../x" }), { name: "ok" }]),
      reason: /"\.\.\/\.\.\/x" climbs/,
    },
    {
      row: "Z04",
      why: "pax size lies",
      bytes: () => tarGzOf([local({ size: "9999" }), { name: "ok", data: "x" }]),
      reason: /overrides its size|cut off|end mark/,
    },
    {
      row: "Z04",
      why: "global pax path",
      bytes: () => tarGzOf([global({ path: "evil" }), { name: "ok" }]),
      reason: /global header that renames/,
    },
    {
      row: "Z04",
      why: "GNU long name climbs",
      bytes: () => tarGzOf([{ name: "././@LongLink", type: "L", data: "../../x\0" }, { name: "ok" }]),
      reason: /climbs/,
    },
    {
      row: "Z04",
      why: "GNU sparse",
      bytes: () => tarGzOf([local({ "GNU.sparse.major": "1" }), { name: "ok" }]),
      reason: /overrides its content/,
    },
    {
      row: "Z05",
      why: "hard link",
      bytes: () => tarGzOf([{ name: "a" }, { name: "h", type: "1", linkname: "a" }]),
      reason: /"h" is a hard link/,
    },
    {
      row: "Z05",
      why: "symbolic link",
      bytes: () => tarGzOf([{ name: "s", type: "2", linkname: "/etc" }]),
      reason: /"s" is symlink/,
    },
    {
      row: "Z06",
      why: "character device",
      bytes: () => tarGzOf([{ name: "d", type: "3" }]),
      reason: /character device/,
    },
    { row: "Z06", why: "block device", bytes: () => tarGzOf([{ name: "d", type: "4" }]), reason: /block device/ },
    { row: "Z06", why: "fifo", bytes: () => tarGzOf([{ name: "f", type: "6" }]), reason: /fifo/ },
    { row: "Z06", why: "setuid", bytes: () => tarGzOf([{ name: "s", mode: 0o4755 }]), reason: /setuid/ },
    { row: "Z06", why: "setgid", bytes: () => tarGzOf([{ name: "s", mode: 0o2755 }]), reason: /setgid/ },
    { row: "Z06", why: "unknown type", bytes: () => tarGzOf([{ name: "s", type: "S" }]), reason: /unknown kind/ },
    { row: "Z07", why: "twice", bytes: () => tarGzOf([{ name: "a" }, { name: "./a" }]), reason: /appears twice/ },
    {
      row: "Z07",
      why: "file and folder",
      bytes: () => tarGzOf([{ name: "a" }, { name: "a", type: "5" }]),
      reason: /both a file and a folder/,
    },
    { row: "Z07", why: "case twin", bytes: () => tarGzOf([{ name: "a" }, { name: "A" }]), reason: /only in case/ },
    {
      row: "Z10",
      why: "no end mark",
      bytes: () => tarGzOf([{ name: "a", data: "x" }], Buffer.alloc(0)),
      reason: /cut off/,
    },
    {
      row: "Z10",
      why: "data cut off",
      bytes: () => tarGzOf([{ name: "a", data: "x", size: 5_000 }]),
      reason: /cut off/,
    },
    {
      row: "Z10",
      why: "gzip cut off",
      bytes: () => tarGzOf([{ name: "a", data: "x" }]).subarray(0, 60),
      reason: /cut off/,
    },
    {
      row: "Z10",
      why: "gzip checksum",
      bytes: () => flipped(tarGzOf([{ name: "a", data: "x" }]), -6),
      reason: /damaged/,
    },
    {
      row: "Z10",
      why: "header checksum",
      bytes: () => gzipSync(flipped(tarOf([{ name: "a", data: "x" }]), 3)),
      reason: /damaged/,
    },
    {
      row: "Z10",
      why: "odd size field",
      bytes: () => tarGzOf([{ name: "a", data: "x", sizeField: Buffer.from("1 7         \0") }]),
      reason: /malformed size/,
    },
    {
      row: "Z10",
      why: "size of 2^70",
      bytes: () => tarGzOf([{ name: "a", sizeField: Buffer.from("8000ffffffffffffffffffff", "hex") }]),
      reason: /impossible size/,
    },
    {
      row: "Z11",
      why: "entries after the end mark",
      bytes: () =>
        tarGzOf([{ name: "a" }], Buffer.concat([Buffer.alloc(1024), tarEntry({ name: "b" }), Buffer.alloc(1024)])),
      reason: /after its end mark/,
    },
    {
      row: "Z11",
      why: "junk after gzip",
      bytes: () => Buffer.concat([tarGzOf([{ name: "a" }]), Buffer.from("junk")]),
      reason: /after its gzip stream|damaged/,
    },
    {
      row: "Z13",
      why: "1500 levels",
      bytes: () => tarGzOf([local({ path: `${"a/".repeat(1500)}x` }), { name: "ok" }]),
      reason: /path of 3001 bytes/,
    },
    {
      row: "Z13",
      why: "5000 characters",
      bytes: () => tarGzOf([local({ path: "n".repeat(5_000) }), { name: "ok" }]),
      reason: /path of 5000 bytes/,
    },
    { row: "Z14", why: "no entries", bytes: () => tarGzOf([]), reason: /no files/ },
    { row: "Z14", why: "only folders", bytes: () => tarGzOf([{ name: "tasks/", type: "5" }]), reason: /no files/ },
    { row: "Z14", why: "not a tar inside", bytes: () => gzipSync("hello"), reason: /cut off/ },
    {
      row: "Z02",
      why: "gzip in gzip",
      bytes: () => gzipSync(gzipSync(tarOf([{ name: "a" }]))),
      reason: /damaged|cut off|malformed/,
    },
    {
      row: "Z02",
      why: "flat bomb",
      bytes: () => tarGzOf([{ name: "a", data: Buffer.alloc(64 * 1024 ** 2) }]),
      reason: /more than 200 times/,
    },
  ];
  test.each(rows)("$row $why", async ({ bytes, reason }) => {
    const refused = await refusalOf(filesOf(bytes(), scratch.path()));
    expect(refused).toMatchObject({ code: "extraction_failed", reason: expect.stringMatching(reason) });
    expect(refused.reason).toMatch(/^[\x20-\x7e…]{1,400}$/);
  });

  test("Z02 30 000 entries", async () => {
    const entries = Array.from({ length: 30_000 }, (_, index) => ({ name: `f${index}` }));
    expect((await refusalOf(filesOf(tarGzOf(entries), scratch.path()))).reason).toMatch(
      /more than 20000 entries|200 times/,
    );
  });

  test("Z02 folders that only paths imply count too", async () => {
    const entries = Array.from({ length: 1_000 }, (_, n) => ({
      name: `${Array.from({ length: 25 }, (_, d) => `${n}-${d}`).join("/")}`.slice(0, 99),
    }));
    const zip = zipOf(entries.map(({ name }) => ({ name: `${name}/x`, method: 0 })));
    const deep = zipOf(
      Array.from({ length: 1_000 }, (_, n) => ({
        name: `${Array.from({ length: 30 }, (_, d) => `${n}-${d}`).join("/")}/x`,
        method: 0,
      })),
    );
    await expect(filesOf(zip, scratch.path())).resolves.toBeDefined();
    expect((await refusalOf(filesOf(deep, scratch.path()))).reason).toMatch(/more than 20000 entries/);
  });
});

describe("accepted", () => {
  const files = { "tasks/a/prompt.md": "Grüße\n", "agent_code/agent.py": "print(1)\n", "$(id)/-rf/<b>x": "odd" };
  const entries = Object.entries(files).map(([name, data]) => ({ name, data }));
  const rows: readonly { why: string; bytes: () => Buffer }[] = [
    { why: "zip, deflated", bytes: () => zipOf(entries) },
    { why: "zip, stored", bytes: () => zipOf(entries.map((entry) => ({ ...entry, method: 0 }))) },
    { why: "zip with a comment", bytes: () => zipOf(entries, { comment: Buffer.from("made by hand") }) },
    {
      why: "zip with an honest zip64 end",
      bytes: () => zipOf(entries, { count: 0xffff, zip64: (f) => zip64End(f, f.start + f.size) }),
    },
    { why: "zip with folders of mode setgid", bytes: () => zipOf([{ name: "tasks/", mode: 0o042775 }, ...entries]) },
    { why: "tar", bytes: () => tarGzOf(entries) },
    {
      why: "tar with ./ and folders",
      bytes: () =>
        tarGzOf([
          { name: "./", type: "5" },
          { name: "./tasks/", type: "5", mode: 0o2755 },
          ...entries.map((e) => ({ ...e, name: `./${e.name}` })),
        ]),
    },
    {
      why: "tar with a git archive header",
      bytes: () =>
        tarGzOf([{ name: "pax_global_header", type: "g", data: pax({ comment: "a".repeat(40) }) }, ...entries]),
    },
    {
      why: "tar with pax names",
      bytes: () =>
        tarGzOf(
          entries.flatMap(({ name, data }) => [
            { name: "p", type: "x", data: pax({ path: name, mtime: "1.5" }) },
            { name: "cut", data },
          ]),
        ),
    },
    { why: "tar padded to 10 KB", bytes: () => tarGzOf(entries, Buffer.alloc(10_240)) },
    {
      why: "gzip in two members",
      bytes: () => {
        const tar = tarOf(entries);
        return Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))]);
      },
    },
  ];
  test.each(rows)("$why", async ({ bytes }) => {
    expect(await filesOf(bytes(), scratch.path())).toEqual(files);
  });

  test("Z02 an inner bomb is just a file", async () => {
    const inner = gzipSync(Buffer.alloc(300 * 1024 ** 2));
    const read = await filesOf(tarGzOf([{ name: "inner.gz", data: inner }]), scratch.path());
    expect(Object.keys(read)).toEqual(["inner.gz"]);
  });

  const tools: readonly { tool: string; file: string; run: (cwd: string, target: string) => void }[] = [
    { tool: "tar", file: "t.tar.gz", run: (cwd, target) => execFileSync("tar", ["czf", target, "-C", cwd, "."]) },
    {
      tool: "tar --format=pax",
      file: "p.tar.gz",
      run: (cwd, target) => execFileSync("tar", ["--format=pax", "-czf", target, "-C", cwd, "tasks", "agent_code"]),
    },
    { tool: "zip", file: "z.zip", run: (cwd, target) => execFileSync("zip", ["-qr", target, "."], { cwd }) },
    {
      tool: "python3 -m zipfile",
      file: "py.zip",
      run: (cwd, target) => execFileSync("python3", ["-m", "zipfile", "-c", target, "tasks", "agent_code"], { cwd }),
    },
    {
      tool: "python3 -m tarfile",
      file: "py.tar.gz",
      run: (cwd, target) => execFileSync("python3", ["-m", "tarfile", "-c", target, "tasks", "agent_code"], { cwd }),
    },
  ];
  test.each(tools)("made by $tool", async ({ tool, file, run }) => {
    const folder = scratch.path(`made-by-${file}`);
    mkdirSync(join(folder, "tasks/größe"), { recursive: true });
    mkdirSync(join(folder, "agent_code"));
    writeFileSync(join(folder, "tasks/größe", `${"long".repeat(40)}.txt`), "x".repeat(10_000));
    writeFileSync(join(folder, "agent_code/agent.py"), "print(1)\n", { mode: 0o755 });
    const target = scratch.path(file);
    try {
      run(folder, target);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      console.log(`skipped: "made by ${tool}": this machine has no ${tool}`);
      return;
    }
    const read = await filesOf(readFileSync(target), scratch.path());
    expect(read["agent_code/agent.py"]).toBe("print(1)\n");
    expect(read[`tasks/größe/${"long".repeat(40)}.txt`]).toHaveLength(10_000);
  });
});

describe("ends", () => {
  const big = () =>
    tarGzOf([
      {
        name: "a",
        data: Buffer.concat(
          Array.from({ length: 24 }, () => Buffer.from(crypto.getRandomValues(new Uint8Array(65_536)))),
        ),
      },
    ]);

  test("an abort ends it with the signal's reason", async () => {
    const path = scratch.path("abort");
    writeFileSync(path, big());
    const abort = new AbortController();
    const reading = readArchive(
      path,
      async (file) => {
        for await (const _ of file.content) abort.abort(new Error("caller left"));
      },
      { clock: systemClock, signal: abort.signal },
    );
    await expect(reading).rejects.toThrow("caller left");
  });

  test.each(["zip", "tar.gz"])("what the visitor throws ends it: %s", async (kind) => {
    const path = scratch.path(`throws-${kind}`);
    writeFileSync(path, kind === "zip" ? zipOf([{ name: "a", data: mebibyte, method: 0 }, { name: "b" }]) : big());
    const reading = readArchive(path, () => Promise.reject(new Error("no room")), { clock: systemClock });
    await expect(reading).rejects.toThrow(/^no room$/);
  });

  test.each(["good", "bad"])("Z04 nothing is written beside the archive: a %s one", async (kind) => {
    const folder = scratch.path(`alone-${kind}`);
    mkdirSync(folder);
    const entries = [
      { name: "tasks/a", data: "x" },
      { name: kind === "good" ? "b" : "../b", data: "x" },
    ];
    for (const bytes of [zipOf(entries), tarGzOf(entries)]) await filesOf(bytes, folder).catch(() => undefined);
    expect(readdirSync(folder).every((name) => /^archive-\d+$/.test(name))).toBe(true);
    expect(readdirSync(folder)).toHaveLength(2);
    expect(readdirSync(scratch.path())).not.toContain("b");
  });
});

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 0xff;
  return copy;
}
