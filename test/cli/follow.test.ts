import type { IncomingMessage, ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { follow } from "../../src/cli/client/follow.ts";
import type { LiveEvent } from "../../src/cli/client/wire.ts";
import { CliError } from "../../src/cli/errors.ts";
import { type Clock, systemClock } from "../../src/kernel/clock.ts";
import { answerJson, fakeServer } from "./fake-server.ts";

const id = "1b4e28ba-2fa1-4d2b-883f-0016d3cca427";
/** waits are skipped, and each lets a minute and a half go by */
function impatientClock(): Clock {
  let ms = 0;
  const sleep = async () => {
    ms += 90_000;
  };
  return { ...systemClock, monotonicMs: () => ms, sleep };
}
const quickClock: Clock = { ...systemClock, sleep: async () => {} };

type Turn = (response: ServerResponse, request: IncomingMessage) => void;
const say = (response: ServerResponse, ...events: readonly [seq: number, event: string, data?: object][]) => {
  if (!response.headersSent) response.writeHead(200, { "content-type": "text/event-stream" });
  for (const [seq, event, data = {}] of events) {
    response.write(`id: ${seq}\ndata: ${JSON.stringify({ event, batch_id: id, seq, data })}\n\n`);
  }
};

/** Plays one turn a connection; the last one again and again. */
async function followTurns(turns: readonly Turn[], clock: Clock) {
  const asked: (string | undefined)[] = [];
  await using server = await fakeServer((request, response) => {
    asked.push(request.headers["last-event-id"] as string | undefined);
    turns[Math.min(asked.length, turns.length) - 1]?.(response, request);
  });
  const events: LiveEvent[] = [];
  for await (const event of follow({ url: server.url }, id, clock)) events.push(event);
  return { events: events.map(({ event, seq }) => `${seq} ${event}`), asked };
}

test("everything in order, and the end ends it", async () => {
  const turn: Turn = (response) =>
    say(
      response,
      [0, "snapshot", { status: "running" }],
      [1, "batch_started"],
      [2, "task_started"],
      [3, "batch_complete"],
    );
  const { events } = await followTurns([turn], quickClock);
  expect(events).toEqual(["0 snapshot", "1 batch_started", "2 task_started", "3 batch_complete"]);
});

test("a broken connection is taken up after the last event; what comes again is left out", async () => {
  const { events, asked } = await followTurns(
    [
      (response) => {
        say(response, [0, "snapshot", { status: "running" }], [1, "batch_started"], [2, "task_started"]);
        setImmediate(() => response.destroy());
      },
      (response) => {
        say(response, [2, "task_started"], [3, "task_complete"], [4, "batch_complete"]);
      },
    ],
    quickClock,
  );
  expect(asked).toEqual([undefined, "2"]);
  expect(events).toEqual(["0 snapshot", "1 batch_started", "2 task_started", "3 task_complete", "4 batch_complete"]);
});

test.for([
  { why: "204 after the end", turn: ((response) => response.writeHead(204).end()) satisfies Turn },
  {
    why: "the snapshot of a batch that is over",
    turn: ((response) => say(response, [9, "snapshot", { status: "failed" }])) satisfies Turn,
  },
  {
    why: "the stream is closed because the batch is over",
    turn: ((response) => say(response, [9, "stream_closed", { reason: "batch_ended" }])) satisfies Turn,
  },
])("ends: $why", async ({ turn }) => {
  await followTurns([turn], quickClock);
});

test("a server that closes is followed to the next one", async () => {
  const { events } = await followTurns(
    [
      (response) => say(response, [1, "batch_started"], [1, "stream_closed", { reason: "server_closing" }]),
      (response) => say(response, [2, "batch_complete"]),
    ],
    quickClock,
  );
  expect(events).toEqual(["1 batch_started", "2 batch_complete"]);
});

test.for([
  {
    why: "an unknown batch is refused at once",
    turn: ((response) => answerJson(response, 404, { error: "batch_not_found", message: "no" })) satisfies Turn,
    exit: "refused",
    says: /404 batch_not_found/,
  },
  {
    why: "a server that stays away is given up",
    turn: ((response) => response.destroy()) satisfies Turn,
    exit: "unreachable",
    says: /can't be reached/,
  },
  {
    why: "a server that fails is given up",
    turn: ((response) => answerJson(response, 500, { error: "internal", message: "x" })) satisfies Turn,
    exit: "unreachable",
    says: /./,
  },
  {
    why: "a server that ends the stream again and again",
    turn: ((response) => response.writeHead(200).end()) satisfies Turn,
    exit: "unreachable",
    says: /again and again/,
  },
  {
    why: "a server that speaks another language",
    turn: ((response) => void response.writeHead(200).end("data: <html>\n\n")) satisfies Turn,
    exit: "unreachable",
    says: /./,
  },
])("$why", async ({ turn, exit, says }) => {
  const error = await followTurns([turn], impatientClock()).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(CliError);
  expect((error as CliError).exit).toBe(exit);
  expect((error as CliError).message).toMatch(says);
});

test("interrupting ends it with the interrupt", async () => {
  const abort = new AbortController();
  await using server = await fakeServer((_, response) => say(response, [1, "batch_started"]));
  const seen = (async () => {
    for await (const event of follow({ url: server.url }, id, systemClock, abort.signal)) {
      if (event.event === "batch_started") abort.abort(new Error("ctrl-c"));
    }
  })();
  await expect(seen).rejects.toThrow("ctrl-c");
});
