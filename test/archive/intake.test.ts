/** The submit door's one call: what is kept, what is read once, what leaves nothing behind. */
import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { Readable } from "node:stream";
import { extract } from "tar-stream";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Ballots, Caller, VoteInput, VoteResult } from "../../src/admission/port.ts";
import { readAll } from "../../src/archive/drain.ts";
import { createIntake, type Intake } from "../../src/archive/intake.ts";
import { submissionOf } from "../../src/archive/keep.ts";
import { createReceiver } from "../../src/archive/upload.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import { AppError } from "../../src/kernel/errors.ts";
import { type BatchId, type Digest, type Hotkey, type PublicKeyHex, parseDigest } from "../../src/kernel/ids.ts";
import { openBlobs } from "../../src/store/blobs.ts";
import { openStore } from "../../src/store/open.ts";
import type { BlobStore, Store } from "../../src/store/port.ts";
import { tarGzOf, zipOf } from "./craft.ts";
import { formOf } from "./form.ts";
import { namesIn, refusalOf, scratchFolder } from "./support.ts";

const scratch = scratchFolder();
let store: Store;
let blobs: BlobStore;
let data: string;
let spool: string;
let serial = 0;

beforeAll(async () => {
  store = await openStore();
});
afterAll(() => store.close());
beforeEach(async () => {
  await store.db.deleteFrom("archives").execute();
  data = scratch.path(`data-${serial}`);
  spool = scratch.path(`spool-${serial++}`);
  mkdirSync(data);
  blobs = await openBlobs(data);
});

const caller: Caller = {
  publicKey: "a".repeat(64) as PublicKeyHex,
  hotkey: "5x" as Hotkey,
  nonce: "n",
  signature: "s",
  version: 1,
};
const vote: VoteResult = {
  state: "pending",
  batchId: "b" as BatchId,
  votes: 1,
  required: 2,
  totalValidators: 3,
  totalTasks: 1,
  concurrentTasks: 0,
  repeated: false,
};

class FakeBallots implements Ballots {
  readonly rooms: Digest[] = [];
  readonly cast_: VoteInput[] = [];
  full = false;
  async checkRoom(_voter: PublicKeyHex, digest: Digest) {
    this.rooms.push(digest);
    if (this.full) throw new AppError("too_many_pending", "Too many pending consensus entries. Please retry later.");
  }
  async cast(input: VoteInput) {
    this.cast_.push(input);
    return vote;
  }
  expireDue = async () => 0;
}

function intakeWith(ballots: Ballots, changes: { blobs?: BlobStore } = {}): Intake {
  const receiver = createReceiver({
    folder: spool,
    archiveBytesMax: 10 ** 6,
    timeoutMs: 10_000,
    idleMs: 5_000,
    uploadsMax: 32,
    clock: systemClock,
  });
  const rules = { template: "https://github.com/{owner}/{name}.git", hosts: ["github.com"] };
  return createIntake({
    receiver,
    store,
    blobs: changes.blobs ?? blobs,
    ballots,
    rules,
    folder: spool,
    clock: systemClock,
  });
}

const files = [
  { name: "tasks/one/workspace.yaml", data: "repo: a/b\n" },
  { name: "tasks/one/prompt.md", data: "Fix it" },
  { name: "agent_code/main.sh", data: "true\n", mode: 0o100755 },
  { name: "agent_code/lib/x.txt", data: "x" },
];
const good = zipOf(files);
const submit = (intake: Intake, archive: Buffer, from: Caller = caller, signal?: AbortSignal) => {
  const { body, contentType } = formOf([{ name: "archive", filename: "a", content: archive }]);
  return intake.receiveSubmission({
    caller: from,
    body: Readable.from([body]),
    headers: { "content-type": contentType },
    concurrentTasks: 4,
    signal,
  });
};
const blobCount = async () =>
  (await readdir(data, { recursive: true })).filter((name) => /[0-9a-f]{64}$/.test(name)).length;
const rowCount = async () => (await store.db.selectFrom("archives").selectAll().execute()).length;

describe("kept", () => {
  test("archive, submission and agent; then the vote is cast", async () => {
    const ballots = new FakeBallots();
    const result = await submit(intakeWith(ballots), good);
    const digest = createHash("sha256").update(good).digest("hex") as Digest;
    expect(result).toEqual({ ...vote, archiveDigest: digest });
    expect(ballots.rooms).toEqual([digest]);
    expect(ballots.cast_).toMatchObject([
      { caller, concurrentTasks: 4, submission: { archiveDigest: digest, tasks: [{ taskId: "one" }] } },
    ]);
    expect(await blobs.get(digest)).toEqual(good);
    const kept = await submissionOf(store, blobs, digest);
    expect(kept).toEqual(ballots.cast_[0]?.submission);
    expect(await agentFiles(kept?.agent.digest ?? "")).toEqual({ "lib/x.txt": "x 644", "main.sh": "true\n 755" });
    expect(await namesIn(spool)).toEqual([]);
    expect(await rowCount()).toBe(1);
  });

  test("a second vote for the same bytes reads nothing again", async () => {
    const ballots = new FakeBallots();
    const intake = intakeWith(ballots);
    await submit(intake, good);
    const before = await blobCount();
    await submit(intake, good);
    expect(ballots.cast_).toHaveLength(2);
    expect(ballots.cast_[1]?.submission).toEqual(ballots.cast_[0]?.submission);
    expect(await blobCount()).toBe(before);
    expect(await namesIn(spool)).toEqual([]);
  });

  test("20 votes for the same bytes at the same moment", async () => {
    const ballots = new FakeBallots();
    const intake = intakeWith(ballots);
    await Promise.all(Array.from({ length: 20 }, () => submit(intake, good)));
    expect(ballots.cast_).toHaveLength(20);
    expect(await blobCount()).toBe(3);
    expect(await rowCount()).toBe(1);
    expect(await namesIn(spool)).toEqual([]);
  });

  test("one agent in two archives has one digest and one blob", async () => {
    const ballots = new FakeBallots();
    const intake = intakeWith(ballots);
    await submit(intake, good);
    await submit(
      intake,
      tarGzOf(
        [
          ...files.map((file) => ({ ...file, mode: (file.mode ?? 0o644) & 0o777 })),
          { name: "README", data: "other" },
        ].toReversed(),
      ),
    );
    expect(ballots.cast_[0]?.submission.agent).toEqual(ballots.cast_[1]?.submission.agent);
    expect(await blobCount()).toBe(5); // two archives, two submissions, one agent
  });

  test("a blob that was lost is made again", async () => {
    const ballots = new FakeBallots();
    const intake = intakeWith(ballots);
    await submit(intake, good);
    const agent = ballots.cast_[0]?.submission.agent.digest ?? "";
    await blobs.remove(agent);
    await submit(intake, good);
    expect(await blobs.has(agent)).toBe(true);
  });
});

describe("nothing is left", () => {
  const bad = zipOf([...files, { name: "../x" }]);
  const rows: readonly { row: string; why: string; archive: Buffer; reason: RegExp }[] = [
    { row: "Z04", why: "an unsafe archive", archive: bad, reason: /climbs/ },
    { row: "Z14", why: "no agent", archive: zipOf(files.slice(0, 2)), reason: /no agent_code/ },
    { row: "Z14", why: "no tasks", archive: zipOf(files.slice(2)), reason: /no tasks/ },
    { row: "Z14", why: "neither", archive: zipOf([{ name: "README" }]), reason: /neither tasks\/ nor agent_code\// },
    {
      row: "Y03",
      why: "a bad task",
      archive: zipOf([...files, { name: "tasks/two/workspace.yaml", data: "repo: ext::sh" }]),
      reason: /task "two"/,
    },
  ];
  test.each(rows)("$row $why: no vote", async ({ archive, reason }) => {
    const ballots = new FakeBallots();
    expect(await refusalOf(submit(intakeWith(ballots), archive))).toMatchObject({
      code: "extraction_failed",
      reason: expect.stringMatching(reason),
    });
    expect(ballots.cast_).toEqual([]);
    expect([await blobCount(), await rowCount(), await namesIn(spool)]).toEqual([0, 0, []]);
  });

  test("no room: the archive isn't even read", async () => {
    const ballots = new FakeBallots();
    ballots.full = true;
    expect(await refusalOf(submit(intakeWith(ballots), bad))).toMatchObject({ code: "too_many_pending" });
    expect([await blobCount(), await rowCount(), await namesIn(spool)]).toEqual([0, 0, []]);
  });

  test("A06 another digest was signed", async () => {
    const bodyDigest = parseDigest("0".repeat(64)) as Digest;
    const ballots = new FakeBallots();
    expect(await refusalOf(submit(intakeWith(ballots), good, { ...caller, version: 2, bodyDigest }))).toMatchObject({
      code: "body_mismatch",
    });
    expect(ballots.rooms).toEqual([]);
    expect([await blobCount(), await rowCount(), await namesIn(spool)]).toEqual([0, 0, []]);
  });

  test("F07 keeping fails at the last blob: what was kept is removed", async () => {
    const failing: BlobStore = {
      ...blobs,
      adopt: async (path, digest) => {
        if (digest === createHash("sha256").update(good).digest("hex")) throw new AppError("disk_full", "full");
        await blobs.adopt(path, digest);
      },
    };
    const ballots = new FakeBallots();
    expect(await refusalOf(submit(intakeWith(ballots, { blobs: failing }), good))).toMatchObject({ code: "disk_full" });
    expect(ballots.cast_).toEqual([]);
    expect([await blobCount(), await rowCount(), await namesIn(spool)]).toEqual([0, 0, []]);
  });

  test("one bad archive, ten callers at once: all are told", async () => {
    const ballots = new FakeBallots();
    const intake = intakeWith(ballots);
    const all = await Promise.all(Array.from({ length: 10 }, () => refusalOf(submit(intake, bad))));
    expect(all.every((refused) => refused.code === "extraction_failed")).toBe(true);
    expect([await blobCount(), await rowCount(), await namesIn(spool)]).toEqual([0, 0, []]);
  });

  test("a caller who leaves does not take the others' reading along", async () => {
    const ballots = new FakeBallots();
    const intake = intakeWith(ballots);
    const leaver = new AbortController();
    const left = submit(intake, good, caller, leaver.signal);
    const others = [submit(intake, good), submit(intake, good)];
    leaver.abort(new Error("left"));
    await expect(left).rejects.toThrow("left");
    await Promise.all(others);
    expect(ballots.cast_).toHaveLength(2);
    expect(await namesIn(spool)).toEqual([]);
  });
});

/** Content and mode of what a kept agent's tar holds. */
async function agentFiles(digest: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const parser = extract();
  parser.on("entry", (header, stream, next) => {
    void readAll(stream as AsyncIterable<Buffer>, 10 ** 6).then((bytes) => {
      found[header.name] = `${bytes} ${(header.mode ?? 0).toString(8)}`;
      next();
    });
  });
  const tar = await blobs.get(digest);
  expect(
    createHash("sha256")
      .update(tar ?? "")
      .digest("hex"),
  ).toBe(digest);
  parser.end(tar);
  await new Promise((resolve) => parser.on("finish", () => resolve(undefined)));
  return found;
}
