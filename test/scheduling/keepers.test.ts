import { describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/kernel/clock.ts";
import { deferred } from "../../src/kernel/signals.ts";
import type { FoundSandbox } from "../../src/sandbox/port.ts";
import { ballotKeeper, type Keeper, startKeepers } from "../../src/scheduling/keepers/keeper.ts";
import { sandboxReaper } from "../../src/scheduling/keepers/sandbox-reaper.ts";
import { Wake } from "../../src/scheduling/wake.ts";

describe("frame", () => {
  test("one that fails keeps running and says so; the others don't notice", async () => {
    const clock: Clock = { ...systemClock, sleep: (_ms, signal) => systemClock.sleep(1, signal) };
    const mended = deferred();
    let runs = 0;
    const failing: Keeper = {
      name: "failing",
      intervalMs: 1_000,
      async run() {
        runs += 1;
        if (runs < 3) throw new Error("not yet");
        mended.resolve();
        return 0;
      },
    };
    const keepers = startKeepers([failing, ballotKeeper(async () => 1)], { clock });
    expect(keepers.health()).toMatchObject([{ name: "failing" }, { name: "ballots" }]);
    await mended.promise;
    await new Promise((resolve) => setImmediate(resolve));
    expect(keepers.health()[0]).toMatchObject({ lastError: undefined, lastOkAgeMs: expect.any(Number) });
    await keepers.stop();
    const ended = runs;
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(runs).toBe(ended);
  });

  test("stop ends a run that waits on its signal", async () => {
    const waiting: Keeper = {
      name: "waiting",
      intervalMs: 1,
      run: (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    };
    await startKeepers([waiting], { clock: systemClock }).stop();
  });
});

describe("sandbox reaper (F13, R08)", () => {
  const found = (id: string, task: string, attempt = 1, running = true): FoundSandbox => ({
    id,
    labels: { instance: "me", batch: "b", task, attempt, phase: "agent" },
    createdAtMs: 0,
    running,
  });
  function engine() {
    const sandboxes = new Map<string, FoundSandbox>();
    const asked: string[] = [];
    return {
      sandboxes,
      asked,
      async list(instance: string) {
        asked.push(instance);
        return [...sandboxes.values()];
      },
      async remove(id: string) {
        if (id === "stuck") throw new Error("busy");
        sandboxes.delete(id);
      },
    };
  }
  const put = (host: ReturnType<typeof engine>, ...all: FoundSandbox[]) => {
    for (const each of all) host.sandboxes.set(each.id, each);
  };
  const { signal } = new AbortController();

  test("at the start everything left goes; later one without an owner goes at its second sight", async () => {
    const host = engine();
    const running = new Set(["t1/2"]);
    const reaper = sandboxReaper({
      host,
      instance: "me",
      isRunning: (_batch, task, attempt) => running.has(`${task}/${attempt}`),
    });
    put(host, found("left", "t0"), found("left-prepare", "-"), found("own", "t1", 2));
    put(host, { ...found("new-prepare", "-"), createdAtMs: Date.now() });
    expect(await reaper.run(signal)).toBe(2);
    expect([...host.sandboxes.keys()]).toEqual(["own", "new-prepare"]);
    host.sandboxes.delete("new-prepare");

    put(host, found("orphan", "t9"), found("prepare", "-"), found("ended-prepare", "-", 1, false));
    expect(await reaper.run(signal)).toBe(0);
    expect(await reaper.run(signal)).toBe(2);
    expect([...host.sandboxes.keys()]).toEqual(["own", "prepare"]);
    // An older attempt's sandbox isn't the present one's.
    put(host, found("older", "t1", 1));
    await reaper.run(signal);
    expect(await reaper.run(signal)).toBe(1);
    expect(new Set(host.asked)).toEqual(new Set(["me"]));
  });

  test("one that can't be removed doesn't keep the others, and is an error", async () => {
    const host = engine();
    put(host, found("stuck", "t0"), found("left", "t0"));
    const reaper = sandboxReaper({ host, instance: "me", isRunning: () => false });
    await expect(reaper.run(signal)).rejects.toThrow("busy");
    expect([...host.sandboxes.keys()]).toEqual(["stuck"]);
  });
});

describe("wake", () => {
  const never = new AbortController().signal;
  test("a call before the wait isn't lost; a wait ends by call, time or signal", async () => {
    const wake = new Wake(systemClock);
    wake.now();
    await wake.wait(60_000, never);
    const waiting = wake.wait(60_000, never);
    wake.now();
    await waiting;
    await wake.wait(1, never);
    await wake.wait(60_000, AbortSignal.abort());
    const abort = new AbortController();
    const aborted = wake.wait(60_000, abort.signal);
    abort.abort();
    await aborted;
  });
});
