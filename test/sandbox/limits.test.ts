import { describe, expect, it } from "vitest";
import { limitsNames, loadLimits, parseLimits } from "../../src/sandbox/limits.ts";

const standard = loadLimits("standard");

describe("limits", () => {
  it.each(limitsNames)("%s loads", (name) => {
    expect(loadLimits(name).name).toBe(name);
  });

  it("grow with their names", () => {
    const [small, middle, large] = limitsNames.map(loadLimits);
    for (const field of ["memoryMb", "cpus", "pids", "diskMb", "openFiles"] as const) {
      expect([small, middle, large].map((one) => one?.[field] ?? 0)).toEqual(
        [small, middle, large].map((one) => one?.[field] ?? 0).sort((a, b) => a - b),
      );
    }
  });

  it.each(Object.keys(standard))("R11 are refused without %s", (field) => {
    const { [field as keyof typeof standard]: _dropped, ...rest } = standard;
    expect(() => parseLimits("standard", JSON.stringify(rest))).toThrow(field);
  });

  it.each([
    { why: "no limit of processes, as engines read 0", change: { pids: 0 } },
    { why: "no limit of memory, as engines read 0", change: { memoryMb: 0 } },
    { why: "no limit of memory, as engines read -1", change: { memoryMb: -1 } },
    { why: "no limit of processors", change: { cpus: 0 } },
    { why: "half a file", change: { openFiles: 1.5 } },
    { why: "a misspelt field", change: { memoryMB: 1 } },
    { why: "another name", change: { name: "large" } },
  ])("$why: refused", ({ change }) => {
    expect(() => parseLimits("standard", JSON.stringify({ ...standard, ...change }))).toThrow(
      /sandbox limits standard/,
    );
  });
});
