import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clampConcurrency, roomForBallot, votesNeeded } from "../../src/admission/ballot-rules.ts";
import { someKeys } from "./support/kit.ts";

describe("C01 votes needed", () => {
  it.each([
    { eligible: 1, threshold: 0.5, is: 1, why: "half of one is one" },
    { eligible: 2, threshold: 0.5, is: 1, why: "half or more" },
    { eligible: 3, threshold: 0.5, is: 2, why: "1.5 rounds up" },
    { eligible: 4, threshold: 0.5, is: 2, why: "exactly half" },
    { eligible: 5, threshold: 0.5, is: 3, why: "2.5 rounds up" },
    { eligible: 6, threshold: 0.5, is: 3, why: "exactly half" },
    { eligible: 7, threshold: 0.5, is: 4, why: "3.5 rounds up" },
    { eligible: 30, threshold: 0.1, is: 3, why: "0.1 * 30 is above 3 in floats" },
    { eligible: 100, threshold: 0.07, is: 7, why: "0.07 * 100 is above 7 in floats" },
    { eligible: 3, threshold: 1, is: 3, why: "all" },
    { eligible: 3, threshold: 0.001, is: 1, why: "never none" },
    { eligible: 0, threshold: 0.5, is: 1, why: "never none, and none are there to give it" },
    { eligible: 3, threshold: 0.67, is: 3, why: "2.01 rounds up" },
    { eligible: 3, threshold: 0.5, minVotes: 3, is: 3, why: "a floor above the share" },
    { eligible: 1, threshold: 1, minVotes: 5, is: 5, why: "a floor that can't be reached stays" },
  ])("$eligible × $threshold: $is ($why)", ({ eligible, threshold, minVotes = 1, is }) => {
    expect(votesNeeded(eligible, threshold, minVotes)).toBe(is);
  });

  it("are what exact arithmetic says, for every threshold in hundredths", () => {
    for (let eligible = 0; eligible <= 300; eligible++) {
      for (let hundredths = 1; hundredths <= 100; hundredths++) {
        const exact = Math.max(1, Math.floor((eligible * hundredths + 99) / 100));
        expect(votesNeeded(eligible, hundredths / 100, 1)).toBe(exact);
      }
    }
  });
});

describe("C03 room for a new ballot", () => {
  const keys = someKeys(4);
  const [a, b, c, outsider] = keys;
  if (!a || !b || !c || !outsider) throw new Error("no keys");
  const eligible = new Set([a, b, c]);

  it.each([
    { why: "nobody has any", open: {}, capacity: 100, is: "room" },
    { why: "below its part, whatever others hold", open: { [a]: 15, [b]: 50, [c]: 34 }, capacity: 100, is: "room" },
    { why: "above its part, while others keep room for theirs", open: { [a]: 40 }, capacity: 100, is: "room" },
    { why: "half of all is the most", open: { [a]: 50 }, capacity: 100, is: "key_share" },
    { why: "what is left belongs to others", open: { [a]: 20, [b]: 50 }, capacity: 84, is: "full" },
    { why: "all is taken", open: { [b]: 2, [c]: 1 }, capacity: 3, is: "full" },
    { why: "one each", open: { [a]: 1 }, capacity: 3, is: "key_share" },
    { why: "one of one", open: {}, capacity: 1, is: "room" },
    { why: "those of a key that has left count", open: { [outsider]: 3 }, capacity: 3, is: "full" },
  ])("$why: $is", ({ open, capacity, is }) => {
    expect(roomForBallot(new Map(Object.entries(open)), a, eligible, capacity)).toBe(is);
  });

  it("is all of it for the only key there is", () => {
    expect(roomForBallot(new Map([[a, 99]]), a, new Set([a]), 100)).toBe("room");
    expect(roomForBallot(new Map([[a, 100]]), a, new Set([a]), 100)).toBe("full");
  });

  it("is never denied by greed: while capacity allows, a key that holds nothing gets one, whatever the others did", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 60 }),
        fc.array(fc.nat(11), { maxLength: 200 }),
        (count, spare, tries) => {
          const all = someKeys(count + 1);
          const set = new Set(all);
          const capacity = all.length + spare;
          const modest = all[count];
          const open = new Map<string, number>();
          for (const index of tries) {
            const key = all[index % count];
            if (key === undefined || roomForBallot(open, key, set, capacity) !== "room") continue;
            open.set(key, (open.get(key) ?? 0) + 1);
          }
          expect([...open.values()].reduce((sum, held) => sum + held, 0)).toBeLessThanOrEqual(capacity);
          expect(modest && roomForBallot(open, modest, set, capacity)).toBe("room");
        },
      ),
    );
  });
});

describe("tasks at once", () => {
  it.each([
    { asked: undefined, is: 8 },
    { asked: 0, is: 1 },
    { asked: -5, is: 1 },
    { asked: 3, is: 3 },
    { asked: 3.9, is: 3 },
    { asked: 9_999, is: 8 },
  ])("$asked of at most 8: $is", ({ asked, is }) => {
    expect(clampConcurrency(asked, 8)).toBe(is);
  });
});
