import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { writablePlaces } from "../../src/evaluation/places.ts";

it("empties every place that the strict profile makes writable for all, and what the engine adds", async () => {
  const text = await readFile(join(import.meta.dirname, "../../sandbox-profiles/strict.json"), "utf8");
  const profile = JSON.parse(text) as { tmpfs: { path: string; mode: string }[] };
  const open = profile.tmpfs.filter(({ mode }) => (Number.parseInt(mode, 8) & 0o002) !== 0).map(({ path }) => path);
  expect([...writablePlaces].sort()).toEqual([...open, "/dev/mqueue", "/dev/shm"].sort());
});
