import { describe, expect, it } from "vitest";
import { settings as fallbacks } from "../../src/config.ts";
import { evaluationSettings } from "../../src/evaluation/settings.ts";
import { limitsNames, loadLimits } from "../../src/sandbox/limits.ts";
import { configOf } from "./support.ts";

const of = (environment: Record<string, string>) => evaluationSettings(configOf(environment));

describe("what a sandbox may use", () => {
  it.each(limitsNames)("SANDBOX_LIMITS=%s is that file", (name) => {
    const { memoryMb, cpus, pids, diskMb, openFiles } = loadLimits(name);
    expect(of({ SANDBOX_LIMITS: name }).resources).toEqual({
      memoryBytes: memoryMb * 1024 ** 2,
      cpus,
      pidsMax: pids,
      diskBytes: diskMb * 1024 ** 2,
      openFilesMax: openFiles,
    });
  });

  it("TASK_ settings win one by one, wherever they come from, even where they say the default", () => {
    const { resources } = of({ SANDBOX_LIMITS: "large", TASK_MEMORY_MB: "2048", TASK_PIDS: "64" });
    expect(resources).toMatchObject({ memoryBytes: 2_048 * 1024 ** 2, pidsMax: 64, cpus: loadLimits("large").cpus });
  });

  it("standard is what the table of settings promises", () => {
    const { memoryMb, cpus, pids, diskMb } = loadLimits("standard");
    const { TASK_MEMORY_MB, TASK_CPUS, TASK_PIDS, TASK_DISK_MB } = fallbacks;
    expect([memoryMb, cpus, pids, diskMb]).toEqual(
      [TASK_MEMORY_MB, TASK_CPUS, TASK_PIDS, TASK_DISK_MB].map(({ fallback }) => fallback),
    );
  });
});

describe("the profile of agents and tests", () => {
  it.each(["strict", "paranoid"] as const)("is %s where SANDBOX_PROFILE says so", (name) => {
    expect(of({ SANDBOX_PROFILE: name }).profile).toBe(name);
  });

  it("is never build", () => {
    expect(() => of({ SANDBOX_PROFILE: "build" })).toThrow(/SANDBOX_PROFILE="build"/);
  });
});
