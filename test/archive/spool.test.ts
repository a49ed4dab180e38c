/** The spool folder: what a dead process left is swept, what lives stays. */
import { utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { describe, expect, test } from "vitest";
import { openSpool, sweepSpool } from "../../src/archive/spool.ts";
import { namesIn, scratchFolder } from "./support.ts";

const scratch = scratchFolder();

describe("sweeping", () => {
  test("what a killed process left goes, what lives stays", async () => {
    const folder = scratch.path("spool");
    await using live = await openSpool(folder);
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
