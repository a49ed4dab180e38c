import { expect, test } from "vitest";
import { passing, startKit } from "./kit.ts";

test("a batch of three tasks runs to its end", async () => {
  await using kit = await startKit({ evaluate: passing });
  const id = await kit.openBatch(3);
  const events = await kit.untilComplete(id);
  expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index + 1));
  expect(events.at(-1)?.data).toMatchObject({ status: "completed", total: 3, passed: 3 });
});
