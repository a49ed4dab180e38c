import { describe, expect, it } from "vitest";
import { SingleFlight } from "../../src/evaluation/single-flight.ts";
import { deferred } from "../../src/kernel/signals.ts";

const never = new AbortController().signal;

describe("single flight", () => {
  it("runs the work once for all who wait, and again for who comes later", async () => {
    const flights = new SingleFlight<number, string>();
    const gate = deferred<number>();
    let runsCount = 0;
    const work = () => {
      runsCount += 1;
      return gate.promise;
    };
    const both = Promise.all([flights.run("k", "a", never, work), flights.run("k", "b", never, work)]);
    gate.resolve(7);
    expect(await both).toEqual([
      { value: 7, started: true },
      { value: 7, started: false },
    ]);
    await flights.run("k", "c", never, async () => 8);
    expect(runsCount).toBe(1);
  });

  it("a failure reaches all who wait and is not kept", async () => {
    const flights = new SingleFlight<number, string>();
    const fail = () => Promise.reject(new Error("no"));
    const results = await Promise.allSettled([flights.run("k", "a", never, fail), flights.run("k", "b", never, fail)]);
    expect(results.map((result) => result.status)).toEqual(["rejected", "rejected"]);
    expect(await flights.run("k", "c", never, async () => 1)).toEqual({ value: 1, started: true });
  });

  it("one who leaves takes nothing from the others; the last one ends the work and waits for its end", async () => {
    const flights = new SingleFlight<number, string>();
    const [first, second] = [new AbortController(), new AbortController()];
    const begun = deferred();
    let ended = false;
    let seen: readonly string[] = [];
    const work = ({ signal, listeners }: { signal: AbortSignal; listeners: ReadonlySet<string> }) =>
      new Promise<number>((_, reject) => {
        begun.resolve();
        signal.addEventListener("abort", () => {
          seen = [...listeners];
          setImmediate(() => {
            ended = true;
            reject(signal.reason);
          });
        });
      });
    const a = flights.run("k", "a", first.signal, work);
    const b = flights.run("k", "b", second.signal, work);
    await begun.promise;
    first.abort(new Error("a left"));
    await expect(a).rejects.toThrow("a left");
    expect(ended).toBe(false);
    second.abort(new Error("b left"));
    await expect(b).rejects.toThrow("b left");
    expect([ended, seen]).toEqual([true, []]);
  });
});
