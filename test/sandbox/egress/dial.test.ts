/** Names that are asked for once: an index of 500 files must not meet the resolver 500 times. */
import { expect, it } from "vitest";
import { type Clock, systemClock } from "../../../src/kernel/clock.ts";
import { keeping } from "../../../src/sandbox/egress/dial.ts";

function setting() {
  let nowMs = 0;
  let fails = false;
  const asked: string[] = [];
  const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
  const resolve = keeping(
    async (host) => {
      asked.push(host);
      if (fails) throw new Error("EAI_AGAIN");
      return [`192.0.2.${asked.length}`];
    },
    clock,
    1_000,
  );
  return {
    asked,
    resolve,
    pass: (ms: number) => {
      nowMs += ms;
    },
    fail: (is: boolean) => {
      fails = is;
    },
  };
}

it("one answer serves all who ask at once and soon after, and only for that host", async () => {
  const { resolve, asked, pass } = setting();
  expect(await Promise.all([resolve("a"), resolve("a")])).toEqual([["192.0.2.1"], ["192.0.2.1"]]);
  pass(999);
  expect(await resolve("a")).toEqual(["192.0.2.1"]);
  expect(await resolve("b")).toEqual(["192.0.2.2"]);
  expect(asked).toEqual(["a", "b"]);
});

it("is asked for again when its time is over", async () => {
  const { resolve, pass } = setting();
  await resolve("a");
  pass(1_000);
  expect(await resolve("a")).toEqual(["192.0.2.2"]);
});

it("a failure is not kept", async () => {
  const { resolve, fail } = setting();
  fail(true);
  await expect(resolve("a")).rejects.toThrow("EAI_AGAIN");
  fail(false);
  expect(await resolve("a")).toEqual(["192.0.2.2"]);
});
