/** What the archive reader takes, whatever the format, and how it ends. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readArchive } from "../../src/archive/read-archive.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { pax, tarGzOf, tarOf, zip64End, zipOf } from "./craft.ts";
import { filesOf, scratchFolder } from "./support.ts";

const scratch = scratchFolder();
const mebibyte = Buffer.alloc(1024 ** 2);

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
