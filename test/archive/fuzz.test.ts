/**
 * Whatever bytes come in: a value or a clear AppError, in time, and an empty spool. fast-check prints the seed and path
 * that replay a failure; FUZZ_RUNS raises the number of runs.
 */
import { Readable } from "node:stream";
import { gunzipSync, gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseTask } from "../../src/archive/task/task.ts";
import { parseYaml, YamlProblem } from "../../src/archive/task/yaml.ts";
import { createReceiver } from "../../src/archive/upload.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { AppError } from "../../src/kernel/errors.ts";
import { pax, tarGzOf, zip64End, zipOf } from "./craft.ts";
import { formOf, formType } from "./form.ts";
import { fastestMs, filesOf, namesIn, scratchFolder } from "./support.ts";

const scratch = scratchFolder();
const numRuns = Number(process.env.FUZZ_RUNS ?? 150);
const DEADLINE_MS = 5_000;

// An error that a library emits after its reader has gone would end the server.
const stray: unknown[] = [];
const onStray = (error: unknown) => void stray.push(error);
beforeAll(() => {
  process.on("uncaughtException", onStray).on("unhandledRejection", onStray);
});
afterAll(async () => {
  await systemClock.sleep(100);
  process.off("uncaughtException", onStray).off("unhandledRejection", onStray);
  expect(stray).toEqual([]);
});

/** Settles in time, with a value or an AppError of the caller's fault. */
async function isClear(work: Promise<unknown>): Promise<void> {
  const started = performance.now();
  try {
    await work;
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect(error.httpStatus).toBeLessThan(500);
    expect(JSON.stringify(error.details)).toMatch(/^[\x20-\x7e…]*$/);
  }
  expect(performance.now() - started).toBeLessThan(DEADLINE_MS);
}

/** Changes to bytes: overwrite, cut, insert, repeat. */
const edits = fc.array(
  fc.record({
    kind: fc.constantFrom("set", "cut", "insert", "repeat", "swap"),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.nat(64),
    bytes: fc.uint8Array({ maxLength: 16 }),
  }),
  { maxLength: 6 },
);
type Edit = { kind: string; at: number; length: number; bytes: Uint8Array };

function edited(bytes: Buffer, changes: readonly Edit[]): Buffer {
  let result = Buffer.from(bytes);
  for (const { kind, at, length, bytes: added } of changes) {
    const from = Math.floor(at * result.length);
    const [head, mid, tail] = [
      result.subarray(0, from),
      result.subarray(from, from + length),
      result.subarray(from + length),
    ];
    if (kind === "set") result = Buffer.concat([head, added, result.subarray(from + added.length)]);
    else if (kind === "cut") result = Buffer.concat([head, tail]);
    else if (kind === "insert") result = Buffer.concat([head, added, mid, tail]);
    else if (kind === "repeat") result = Buffer.concat([head, mid, mid, tail]);
    else result = Buffer.concat([tail, mid, head]);
  }
  return result;
}

const entry = { name: "tasks/a/prompt.md", data: "hello ".repeat(50) };
const zips = [
  zipOf([entry, { name: "agent_code/agent.py", data: "x", method: 0 }]),
  zipOf([entry], { comment: Buffer.from("comment") }),
  zipOf([entry, { name: "d/", data: "", method: 0, mode: 0o040755 }], {
    count: 0xffff,
    zip64: (f) => zip64End(f, f.start + f.size),
  }),
  zipOf([{ ...entry, extra: Buffer.from("010008000000000000000000", "hex") }]),
];
const tars = [
  tarGzOf([entry, { name: "agent_code/agent.py", data: "x" }]),
  tarGzOf([
    { name: "p", type: "x", data: pax({ path: "tasks/a" }) },
    entry,
    { name: "g", type: "g", data: pax({ comment: "c" }) },
    { ...entry, name: "b" },
  ]),
  tarGzOf([{ name: "././@LongLink", type: "L", data: `${"long/".repeat(30)}x\0` }, entry]),
];

describe("archive reader", () => {
  test("random bytes", () =>
    fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 2_000 }),
        fc.constantFrom("", "504b0304", "504b0506", "1f8b0800"),
        (bytes, magic) =>
          isClear(filesOf(Buffer.concat([Buffer.from(magic, "hex"), bytes]), scratch.path(), DEADLINE_MS)),
      ),
      { numRuns },
    ));

  test("mutated zips", () =>
    fc.assert(
      fc.asyncProperty(fc.constantFrom(...zips), edits, (bytes, changes) =>
        isClear(filesOf(edited(bytes, changes), scratch.path(), DEADLINE_MS)),
      ),
      { numRuns: numRuns * 3 },
    ));

  test("mutated gzips", () =>
    fc.assert(
      fc.asyncProperty(fc.constantFrom(...tars), edits, (bytes, changes) =>
        isClear(filesOf(edited(bytes, changes), scratch.path(), DEADLINE_MS)),
      ),
      { numRuns },
    ));

  test("mutated tars", () =>
    fc.assert(
      fc.asyncProperty(fc.constantFrom(...tars), edits, (bytes, changes) =>
        isClear(filesOf(gzipSync(edited(gunzipSync(bytes), changes), { level: 1 }), scratch.path(), DEADLINE_MS)),
      ),
      { numRuns: numRuns * 2 },
    ));

  test("any names: what is accepted stays inside", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: "binary", maxLength: 12 }), { maxLength: 4 }),
        fc.boolean(),
        async (names, isZip) => {
          const entries = names.map((name) => ({ name, data: "x" }));
          const bytes = isZip ? zipOf(entries) : tarGzOf(entries);
          const read = filesOf(bytes, scratch.path(), DEADLINE_MS);
          await isClear(read);
          for (const path of Object.keys(await read.catch(() => ({})))) {
            expect(path).not.toMatch(/^\/|(^|\/)\.{0,2}(\/|$)|\\|[\x00-\x1f\x7f]/);
          }
        },
      ),
      { numRuns },
    ));
});

describe("YAML reader", () => {
  const yamlText = fc.oneof(
    fc.string({ unit: "binary", maxLength: 300 }),
    fc
      .array(
        fc.constantFrom(
          "a",
          ":",
          " ",
          "\n",
          "- ",
          "[",
          "]",
          "{",
          "}",
          ",",
          "&x ",
          "*x",
          "!t ",
          "|",
          ">",
          "'",
          '"',
          "#",
          "---\n",
          "...\n",
          "%Y\n",
          "? ",
          "<<",
          "\t",
          "  ",
          "__proto__",
          "repo: a/b\n",
        ),
        { maxLength: 80 },
      )
      .map((parts) => parts.join("")),
  );
  test("any text: a value or a YamlProblem, within 200 ms", () => {
    parseYaml(Buffer.from("warm: up"));
    fc.assert(
      fc.property(yamlText, (text) => {
        try {
          parseYaml(Buffer.from(text));
        } catch (error) {
          if (!(error instanceof YamlProblem)) throw error;
        }
        expect(fastestMs(() => parseYaml(Buffer.from(text)))).toBeLessThan(200);
      }),
      { numRuns: numRuns * 4 },
    );
  });

  const key = fc.constantFrom(
    "id",
    "task_id",
    "repo",
    "base_commit",
    "install",
    "install_config",
    "meta",
    "tests",
    "environment",
    "fail_to_pass",
    "prompt",
    "language",
    "patch",
    "test_files",
    "path",
    "content",
    "url",
    "commands",
    "working_dir",
  );
  const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 3 },
      fc.string({ maxLength: 20 }),
      fc.constantFrom("a/b", "null", "[]", "../x", "0".repeat(40)),
      fc.array(tie("node"), { maxLength: 3 }),
      fc.dictionary(key, tie("node"), { maxKeys: 4 }),
    ),
  })).node;
  test("any shape: a task or a clear refusal", () =>
    fc.assert(
      fc.asyncProperty(fc.dictionary(key, value, { maxKeys: 8 }), (shape) =>
        isClear(
          (async () =>
            parseTask(
              {
                path: "t",
                yaml: Buffer.from(JSON.stringify(shape)),
                prompt: Buffer.from("p"),
                checks: undefined,
                tests: [],
              },
              { template: "https://github.com/{owner}/{name}.git", hosts: [] },
            ))(),
        ),
      ),
      { numRuns: numRuns * 4 },
    ));
});

describe("upload", () => {
  const form = formOf([
    { name: "x", content: Buffer.from("y") },
    { name: "archive", filename: "a", content: Buffer.alloc(3_000, "z") },
  ]).body;
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 500 }).map((bytes) => Buffer.from(bytes)),
    edits.map((changes) => edited(form, changes)),
  );
  const types = fc.oneof(
    { weight: 5, arbitrary: fc.constant(formType) },
    { weight: 1, arbitrary: fc.string({ maxLength: 60 }).map((tail) => `multipart/form-data; ${tail}`) },
  );

  test("any body in any pieces, cut anywhere: an archive or a clear refusal, and an empty spool", async () => {
    const folder = scratch.path("fuzz-spool");
    const receiver = createReceiver({
      folder,
      archiveBytesMax: 4_000,
      timeoutMs: DEADLINE_MS,
      idleMs: 1_000,
      uploadsMax: 4,
      clock: systemClock,
    });
    await fc.assert(
      fc.asyncProperty(
        bodies,
        types,
        fc.integer({ min: 1, max: 600 }),
        fc.boolean(),
        async (body, contentType, piece, isCut) => {
          const pieces: Buffer[] = [];
          for (let at = 0; at < body.length; at += piece) pieces.push(body.subarray(at, at + piece));
          const stream = Readable.from(isCut ? cutOff(pieces) : pieces);
          await isClear(
            (async () => {
              await using archive = await receiver.receive({ body: stream, contentType });
              expect(archive.sizeBytes).toBeGreaterThan(0);
            })(),
          );
          expect(await namesIn(folder)).toEqual([]);
          expect(receiver.activeCount()).toBe(0);
        },
      ),
      { numRuns: numRuns * 2 },
    );
  });
});

async function* cutOff(pieces: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces.slice(0, Math.ceil(pieces.length / 2));
  throw Object.assign(new Error("aborted"), { code: "ECONNRESET" });
}
