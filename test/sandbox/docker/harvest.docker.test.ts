/** The harvest program against real folders (X07 of THREATS.md), and the image's own smoke test. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Sandbox } from "../../../src/sandbox/port.ts";
import { bash, type ContractSubject, megabyte, specOf } from "../contract.ts";
import { makeSubject, whyNoEngine } from "../engine.ts";

const missing = await whyNoEngine();
if (missing !== undefined) it.skip(missing, () => {});

interface HarvestRecord {
  readonly kind: string;
  readonly path: string;
  readonly content: Buffer;
}

/** Reads records without mercy: a test wants to see every byte accounted for. */
function parse(bytes: Buffer): HarvestRecord[] {
  const records: HarvestRecord[] = [];
  for (let at = 0; at < bytes.length; ) {
    const pathAt = at + 5;
    const sizeAt = pathAt + bytes.readUInt32LE(at + 1);
    const contentAt = sizeAt + 8;
    const end = contentAt + Number(bytes.readBigUInt64LE(sizeAt));
    expect(end).toBeLessThanOrEqual(bytes.length);
    records.push({
      kind: String.fromCharCode(bytes[at] ?? 0),
      path: bytes.subarray(pathAt, sizeAt).toString("utf8"),
      content: bytes.subarray(contentAt, end),
    });
    at = end;
  }
  return records;
}

function totals(records: readonly HarvestRecord[]) {
  const end = records.at(-1);
  expect(end?.kind).toBe("E");
  const content = end?.content ?? Buffer.alloc(25);
  return {
    files: Number(content.readBigUInt64LE(0)),
    bytes: Number(content.readBigUInt64LE(8)),
    skipped: Number(content.readBigUInt64LE(16)),
    truncated: content.readUInt8(24) === 1,
  };
}

describe.runIf(missing === undefined)("harvest", () => {
  let subject: ContractSubject;
  let sandbox: Sandbox;

  beforeAll(async () => {
    subject = await makeSubject();
    const resources = { memoryBytes: 1024 * megabyte, cpus: 2, pidsMax: 128, diskBytes: 512 * megabyte };
    sandbox = await subject.host.open(specOf(subject.instance, subject.image, { resources }));
  });
  afterAll(async () => {
    await sandbox?.close();
    await subject?.dispose();
  });

  /** Makes base and work by scripts, both in an empty place, and harvests. */
  async function harvest(base: string, work: string, files = 5_000, bytes = 8 * megabyte) {
    const wiped = await sandbox.run(bash("exec /proctor/bin/wipe /repo /tmp", { cwd: "/" }));
    expect(wiped.outcome, wiped.output.text).toEqual({ kind: "exited", exitCode: 0 });
    const made = await sandbox.run(
      bash(
        `set -e; mkdir /tmp/base; cd /tmp/base; ${base}\nshopt -s dotglob nullglob; for f in *; do cp -a "$f" /repo; done; cd /repo; ${work}`,
        {
          cwd: "/",
          fileBytesMax: 4096 * megabyte,
        },
      ),
    );
    expect(made.outcome, made.output.text).toEqual({ kind: "exited", exitCode: 0 });
    const result = await sandbox.runForData({
      ...bash(""),
      argv: ["/proctor/bin/harvest", "/tmp/base", "/repo", `${files}`, `${bytes}`],
      outputBytesMax: bytes + 16 * megabyte,
    });
    expect(result.outcome, result.stderr.text).toEqual({ kind: "exited", exitCode: 0 });
    const records = parse(result.stdout);
    const shown = records.slice(0, -1).map(({ kind, path, content }) => `${kind} ${path} ${content}`.trim());
    return { records, shown: shown.sort(), ...totals(records) };
  }

  it.each([
    { why: "nothing changed, times did", base: "echo a > a; ln -s a l", work: "touch -d 2001-01-01 a", shown: [] },
    { why: "a new file", base: "true", work: "echo -n x > new", shown: ["F new x"] },
    {
      why: "a change of the same length",
      base: "echo -n aa > f",
      work: "echo -n bb > f; touch -r /tmp/base/f f",
      shown: ["F f bb"],
    },
    { why: "an executable bit", base: "echo -n s > s", work: "chmod +x s", shown: ["X s s"] },
    { why: "a bit taken away", base: "echo -n s > s; chmod +x s", work: "chmod 644 s", shown: ["F s s"] },
    { why: "a deleted file", base: "mkdir d; echo > d/f; echo > g", work: "rm -r d", shown: ["D d/f"] },
    { why: "a new link, kept as it is", base: "true", work: "ln -s /etc/passwd l", shown: ["L l /etc/passwd"] },
    { why: "a file that became a link", base: "echo > f", work: "rm f; ln -s /dev/zero f", shown: ["L f /dev/zero"] },
    { why: "a link that became a file", base: "ln -s x f", work: "rm f; echo -n y > f", shown: ["F f y"] },
    {
      why: "a file that became a folder",
      base: "echo > f",
      work: "rm f; mkdir f; echo -n y > f/g",
      shown: ["D f", "F f/g y"],
    },
    {
      why: "a folder that became a file",
      base: "mkdir d; echo > d/a",
      work: "rm -r d; echo -n y > d",
      shown: ["D d/a", "F d y"],
    },
    {
      why: "a folder that became a link to its own copy",
      base: "mkdir d; echo > d/a",
      work: "mv d /repo/e; ln -s e d",
      shown: ["D d/a", "F e/a", "L d e"],
    },
    {
      why: "a link in base under a folder in work",
      base: "mkdir r; echo -n 1 > r/x; ln -s r d",
      work: "rm d; mkdir d; echo -n 1 > d/x",
      shown: ["D d", "F d/x 1"],
    },
    {
      why: "the .git at the top",
      base: "mkdir .git; echo > .git/HEAD",
      work: "rm -r .git; echo evil > .git",
      shown: [],
    },
    {
      why: "a .git further down is a folder like others",
      base: "true",
      work: "mkdir -p s/.git; echo -n h > s/.git/HEAD",
      shown: ["F s/.git/HEAD h"],
    },
    { why: "an empty folder", base: "true", work: "mkdir e", shown: [] },
    {
      why: "modes that hide things from their owner",
      base: "true",
      work: "mkdir d; echo -n x > d/f; chmod 000 d/f d",
      shown: ["F d/f x"],
    },
    { why: "a workspace closed at a folder of base", base: "mkdir d; echo > d/f", work: "chmod 000 d", shown: [] },
    {
      why: "names with newline, quote and bytes",
      base: "true",
      work: "echo -n 1 > $'a\\nb\"c'",
      shown: ['F a\nb"c 1'],
    },
  ])("$why", async ({ base, work, shown }) => {
    const result = await harvest(base, work);
    expect(result.shown).toEqual([...shown].sort());
    expect(result.truncated).toBe(false);
  });

  it("X07 devices, fifos and sockets are named, never opened", async () => {
    const socket = `python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('/repo/sock')"`;
    const result = await harvest("echo > was", `mkfifo fifo; ${socket}; rm was; mkfifo was`);
    expect(result.shown).toEqual([
      "D was",
      "S fifo a device, fifo or socket",
      "S sock a device, fifo or socket",
      "S was a device, fifo or socket",
    ]);
    expect(result.skipped).toBe(3);
  });

  it("X07 a sparse file of 2 GB is left out at once", async () => {
    const result = await harvest("true", "python3 -c \"open('big','wb').truncate(2*2**30)\"; echo -n ok > ok");
    expect(result.shown).toEqual(["F ok ok", "S big larger than what may still cross"]);
    expect(result).toMatchObject({ truncated: true, bytes: 2, files: 1 });
  });

  it("X07 a hundred thousand files stop at the bound", async () => {
    const many = "python3 -c \"[open(f'f{i}','w').close() for i in range(100000)]\"";
    const result = await harvest("true", many, 1_000);
    expect(result).toMatchObject({ files: 1_000, truncated: true, skipped: 1 });
  });

  it("X07 ten thousand fifos are counted, and a thousand of them named", async () => {
    const result = await harvest("true", "python3 -c \"import os; [os.mkfifo(f'p{i}') for i in range(10000)]\"");
    expect(result).toMatchObject({ files: 0, skipped: 10_000, truncated: false });
    expect(result.records.filter(({ kind }) => kind === "S")).toHaveLength(1_000);
  });

  it("X07 folders beyond two hundred levels, and names beyond the path limit, are left out", async () => {
    const deep = "import os\nfor i in range(400):\n    os.mkdir('d'); os.chdir('d')\nopen('f','w').close()";
    const long = "import os\nfor i in range(30):\n    os.mkdir('n' * 200); os.chdir('n' * 200)\nopen('f','w').close()";
    for (const script of [deep, long]) {
      const result = await harvest("true", `python3 -c "${script}"; cd /repo; echo -n ok > ok`);
      expect(result.shown.filter((line) => !line.startsWith("S "))).toEqual(["F ok ok"]);
      expect(result.skipped).toBe(1);
    }
  });

  it("a workspace that is gone is an error, not an empty change", async () => {
    const argv = ["/proctor/bin/harvest", "/tmp", "/repo/nowhere", "1", "1"];
    const result = await sandbox.runForData({ ...bash(""), argv });
    expect(result.outcome).toEqual({ kind: "exited", exitCode: 1 });
    expect(result.stdout.length).toBe(0);
  });
});

describe.runIf(missing === undefined)("the image", () => {
  it("holds what CONTRACT.md promises to tasks, for an unprivileged user without network", async () => {
    const subject = await makeSubject();
    try {
      const resources = { memoryBytes: 1024 * megabyte, cpus: 2, pidsMax: 128, diskBytes: 256 * megabyte };
      await using sandbox = await subject.host.open(specOf(subject.instance, subject.image, { resources }));
      const stdin = readFileSync(join(import.meta.dirname, "../../../images/sandbox/smoke.sh"));
      const result = await sandbox.run({ ...bash(""), argv: ["bash", "-s"] }, { stdin });
      expect(result.output.text).not.toContain("FAIL");
      expect(result.outcome).toEqual({ kind: "exited", exitCode: 0 });
    } finally {
      await subject.dispose();
    }
  });
});
