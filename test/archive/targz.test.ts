import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { pax, type TarLie, tarEntry, tarGzOf, tarOf, zipOf } from "./craft.ts";
import { filesOf, refusalOf, scratchFolder } from "./support.ts";

const scratch = scratchFolder();
const _mebibyte = Buffer.alloc(1024 ** 2);

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

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] ?? 0) ^ 0xff;
  return copy;
}
