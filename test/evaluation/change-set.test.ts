import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseChangeSet } from "../../src/evaluation/change-set.ts";
import { endRecord, record } from "./support.ts";

const bounds = { filesMax: 10, deletedMax: 10, bytesMax: 1_000 };
const parse = (...records: Buffer[]) => parseChangeSet(Buffer.concat(records), bounds);
const pathsOf = (...records: Buffer[]) => parse(...records, endRecord()).files.map((file) => file.path);

describe("reading a change set", () => {
  it("takes files, executables, links and deletions, sorted, with their bytes", () => {
    const change = parse(
      record("D", "old"),
      record("X", "run.sh", "#!/bin/sh\n"),
      record("F", "a/b.txt", Buffer.from([0, 255, 10])),
      record("L", "link", "a/b.txt"),
      endRecord(),
    );
    expect(change.deleted).toEqual(["old"]);
    expect(change.files.map((file) => [file.path, file.kind])).toEqual([
      ["a/b.txt", "file"],
      ["link", "link"],
      ["run.sh", "executable"],
    ]);
    expect(change.files[0]?.content).toEqual(Buffer.from([0, 255, 10]));
    expect(change.notes).toEqual([]);
  });

  it.each([
    { path: "/etc/passwd", why: "absolute" },
    { path: "../x", why: "climbs" },
    { path: "a/../../x", why: "climbs in the middle" },
    { path: "a//b", why: "empty part" },
    { path: "./a", why: "not normalised" },
    { path: "a/", why: "ends in a slash" },
    { path: "", why: "empty" },
    { path: "a\0b", why: "NUL" },
    { path: ".git/config", why: "the repository's own state" },
    { path: "sub/.git/hooks/pre-commit", why: "another repository's state" },
    { path: "sub/.GIT/config", why: "git compares without case" },
    { path: "x".repeat(2_000), why: "too long" },
    { path: Buffer.from([0x61, 0xff]), why: "not UTF-8" },
  ])("leaves out a path that is $why", ({ path }) => {
    const change = parse(record("F", path, "x"), record("F", "good", "y"), endRecord());
    expect(change.files.map((file) => file.path)).toEqual(["good"]);
  });

  it("keeps odd but plain names: they are data, never words of a shell", () => {
    const names = ["-rf", "$(id)", "a\nb", " ", "é", ".gitignore", ".github/x", "a\\b", "…"];
    expect(pathsOf(...names.map((name) => record("F", name, "")))).toEqual([...names].sort());
  });

  it.each([
    { above: record("L", "d", "/etc"), why: "a link of the set" },
    { above: record("F", "d", "x"), why: "a file of the set" },
  ])("keeps nothing below $why", ({ above }) => {
    const change = parse(above, record("F", "d/passwd", "x"), endRecord());
    expect(change.files.map((file) => file.path)).toEqual(["d"]);
    expect(change.notes.join()).toContain("no folder");
  });

  it.each([
    { target: "", why: "empty" },
    { target: "x".repeat(5_000), why: "too long" },
    { target: "a\0b", why: "NUL" },
    { target: Buffer.from([0xff]), why: "not UTF-8" },
  ])("leaves out a link whose target is $why", ({ target }) => {
    expect(pathsOf(record("L", "link", target))).toEqual([]);
  });

  it("takes the first of two records of one path", () => {
    const change = parse(record("F", "a", "1"), record("F", "a", "2"), record("D", "a"), endRecord());
    expect(change.files.map((file) => file.content.toString())).toEqual(["1"]);
    expect(change.deleted).toEqual([]);
    expect(change.notes).toEqual([
      'Left out of the change: 2 paths, first "a": it came twice; the first of them counts.',
    ]);
  });

  it("a file may become a folder: the deletion and what lies below both count", () => {
    const change = parse(record("D", "a"), record("F", "a/b", "1"), endRecord());
    expect([change.deleted, change.files.map((file) => file.path)]).toEqual([["a"], ["a/b"]]);
  });

  it("bounds files, deletions, bytes and notes, and says so", () => {
    const files = Array.from({ length: 60 }, (_, index) => record("F", `f${index}`, "x"));
    const gone = Array.from({ length: 60 }, (_, index) => record("D", `d${index}`));
    const change = parse(...gone, record("F", "big", Buffer.alloc(2_000)), ...files, endRecord(true));
    expect(change.files).toHaveLength(10);
    expect(change.deleted).toHaveLength(10);
    expect(change.files.some((file) => file.path === "big")).toBe(false);
    expect(change.notes).toEqual([
      'Left out of the change: 50 paths, first "d10": more than 10 files were deleted.',
      'Left out of the change: "big": the change is larger than 1000 bytes.',
      'Left out of the change: 50 paths, first "f18": more than 10 files changed.',
      "The change reached a limit of the harvest (files or bytes); what lies beyond it does not count.",
    ]);
  });

  it.each([
    { bytes: record("F", "a", "whole").subarray(0, -2), why: "content cut" },
    { bytes: Buffer.from([0x46]), why: "head cut" },
    {
      bytes: Buffer.concat([Buffer.from("F"), Buffer.from([0xff, 0xff, 0xff, 0xff]), Buffer.alloc(20)]),
      why: "path length lies",
    },
    {
      bytes: Buffer.concat([Buffer.from([0x46, 1, 0, 0, 0, 0x61]), Buffer.alloc(8, 0xff), Buffer.alloc(9)]),
      why: "content length lies",
    },
  ])("ends at a broken record, keeping what came before: $why", ({ bytes }) => {
    const change = parse(record("F", "good", "1"), bytes);
    expect(change.files.map((file) => file.path)).toEqual(["good"]);
    expect(change.notes.join()).toContain("broke off");
  });

  it("notes what the harvest skipped, and a name with control characters stays one line", () => {
    const change = parse(record("S", "fifo\n\x1b[31m", "a device,\n fifo"), endRecord());
    expect(change.notes).toEqual(['Left out of the change: "fifo\\n\\u001b[31m": a device, fifo.']);
  });

  it("never throws and never keeps an unsafe path, whatever the bytes are", () => {
    const arbitraryRecord = fc
      .tuple(
        fc.constantFrom("F", "X", "L", "D", "S", "E", "?"),
        fc.string({ unit: "binary" }),
        fc.uint8Array({ maxLength: 40 }),
      )
      .map(([kind, path, content]) => record(kind, path, Buffer.from(content)));
    const arbitraryBytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.array(arbitraryRecord, { maxLength: 20 }).map((records) => Buffer.concat(records)),
    );
    fc.assert(
      fc.property(arbitraryBytes, (bytes) => {
        const change = parseChangeSet(bytes, bounds);
        for (const path of [...change.files.map((file) => file.path), ...change.deleted]) {
          const parts = path.split("/");
          expect(parts.some((part) => ["", ".", "..", ".git"].includes(part)) || path.includes("\0")).toBe(false);
        }
        expect(new Set(change.files.map((file) => file.path)).size).toBe(change.files.length);
      }),
    );
  });
});
