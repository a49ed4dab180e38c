/** Turns of output readers: bounded in all and per address, in order, and never for ever. */
import { describe, expect, it } from "vitest";
import { bounds } from "../../src/api/bounds.ts";
import { createTurns } from "../../src/api/turns.ts";

const turnsOf = (over: Partial<Record<keyof typeof bounds, number>>) =>
  createTurns({ ...bounds, outputReadersMax: 3, outputReadersPerAddressMax: 2, outputWaitMs: 50, ...over });

describe("turns", () => {
  it("an address that holds all it may does not keep others out, and its next waits in order", async () => {
    const turns = turnsOf({ outputWaitMs: 10_000 });
    const order: string[] = [];
    const [first, second] = [await turns.take("1.1.1.1"), await turns.take("1.1.1.1")];
    const third = turns.take("1.1.1.1").then((turn) => {
      order.push("third");
      return turn;
    });
    const other = await turns.take("2.2.2.2");
    order.push("other");
    first?.[Symbol.dispose]();
    first?.[Symbol.dispose]();
    (await third)[Symbol.dispose]();
    second?.[Symbol.dispose]();
    other[Symbol.dispose]();
    expect(order).toEqual(["other", "third"]);
  });

  it("a waiter whose time is up is refused, and takes no place later", async () => {
    const turns = turnsOf({ outputReadersMax: 1 });
    const held = await turns.take("1.1.1.1");
    await expect(turns.take("2.2.2.2")).rejects.toMatchObject({ code: "too_many_requests" });
    held[Symbol.dispose]();
    (await turns.take("3.3.3.3"))[Symbol.dispose]();
  });

  it("the queue has an end", async () => {
    const turns = turnsOf({ outputReadersMax: 1, outputWaitersMax: 0 });
    using _held = await turns.take("1.1.1.1");
    await expect(turns.take("2.2.2.2")).rejects.toMatchObject({ code: "too_many_requests" });
  });
});
