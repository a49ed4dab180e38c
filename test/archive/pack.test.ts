/** Packing for `proctor pack`: equal folders, equal digests; what the server would refuse is refused here. */
import { chmodSync, cpSync, existsSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packArchive } from "../../src/archive/pack.ts";
import { refusalOf, scratchFolder } from "./support.ts";

const scratch = scratchFolder();
const formats = ["zip", "tar.gz"] as const;
let serial = 0;

function sample(): string {
  const folder = scratch.path(`folder-${serial++}`);
  mkdirSync(join(folder, "tasks/a/tests"), { recursive: true });
  mkdirSync(join(folder, "agent_code/.git"), { recursive: true });
  writeFileSync(join(folder, "tasks/a/workspace.yaml"), "repo: a/b\n");
  writeFileSync(join(folder, "tasks/a/prompt.md"), "Fix ü\n");
  writeFileSync(join(folder, "tasks/a/tests/@odd name.sh"), "true\n");
  writeFileSync(join(folder, "agent_code/agent.py"), "print(1)\n", { mode: 0o775 });
  writeFileSync(join(folder, "agent_code/.git/config"), "not for the archive");
  writeFileSync(join(folder, "README.md"), "not for the archive");
  return folder;
}

describe.each(formats)("%s", (format) => {
  test("the server reads what was packed", async () => {
    const packed = await packArchive(sample(), scratch.path(`${serial++}.${format}`), { format });
    expect(packed.submission).toMatchObject({
      archiveDigest: packed.digest,
      tasks: [{ taskId: "a", prompt: "Fix ü\n", judgedBy: "tests", judges: [{ name: "@odd name", script: "true\n" }] }],
      agent: { entry: "agent.py", sizeBytes: 9 },
    });
  });

  test("equal folders give equal digests, whatever their times and umask", async () => {
    const first = sample();
    const second = scratch.path(`copy-${serial++}`);
    cpSync(first, second, { recursive: true });
    utimesSync(join(second, "tasks/a/prompt.md"), 1, 1);
    chmodSync(join(second, "tasks/a/prompt.md"), 0o600);
    chmodSync(join(second, "agent_code/agent.py"), 0o700);
    const one = await packArchive(first, scratch.path(`${serial++}.a`), { format });
    const two = await packArchive(second, scratch.path(`${serial++}.b`), { format });
    expect(two.digest).toBe(one.digest);
  });

  test.each<{ why: string; spoil: (folder: string) => void; code: string }>([
    {
      why: "a link",
      spoil: (folder) => symlinkSync("/etc/passwd", join(folder, "tasks/a/link")),
      code: "invalid_request",
    },
    {
      why: "twins",
      spoil: (folder) => writeFileSync(join(folder, "tasks/a/PROMPT.md"), "x"),
      code: "extraction_failed",
    },
    {
      why: "a bad commit",
      spoil: (folder) => writeFileSync(join(folder, "tasks/a/workspace.yaml"), "repo: a/b\nbase_commit: HEAD\n"),
      code: "extraction_failed",
    },
    {
      why: "a backslash",
      spoil: (folder) => writeFileSync(join(folder, "tasks/a/b\\c"), "x"),
      code: "extraction_failed",
    },
  ])("refused, and no file left: $why", async ({ spoil, code }) => {
    const folder = sample();
    spoil(folder);
    const target = scratch.path(`${serial++}.refused`);
    expect(await refusalOf(packArchive(folder, target, { format }))).toMatchObject({ code });
    expect(existsSync(target)).toBe(false);
  });
});

test("a folder without tasks and agent", async () => {
  mkdirSync(scratch.path("empty"));
  expect(await refusalOf(packArchive(scratch.path("empty"), scratch.path("e.zip"), { format: "zip" }))).toMatchObject({
    code: "invalid_request",
  });
  expect(await refusalOf(packArchive(scratch.path("nowhere"), scratch.path("e.zip"), { format: "zip" }))).toMatchObject(
    { code: "invalid_request" },
  );
});
