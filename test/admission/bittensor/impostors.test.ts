/** F10: endpoints that hang, lie or flood, each a real WebSocket server on loopback. */
import { afterAll, describe, expect, it, vi } from "vitest";
import { createChainReader } from "../../../src/admission/bittensor/chain-reader.ts";
import { withQuietConsole } from "../../../src/admission/bittensor/quiet-console.ts";
import { startImpostor } from "../support/chain.ts";

const answerOf = (message: string, body: object): string =>
  JSON.stringify({ jsonrpc: "2.0", id: (JSON.parse(message) as { readonly id: number }).id, ...body });

// Before the first read, so that what is let through to the console is seen here.
const spies = (["log", "warn", "error"] as const).map((method) => vi.spyOn(console, method).mockReturnValue());
afterAll(() => {
  vi.restoreAllMocks();
});

describe("F10 an endpoint that", () => {
  it.each([
    {
      why: "answers 10 MB",
      answer: (m: string) => answerOf(m, { result: "0".repeat(10 * 1024 ** 2) }),
      says: /limit is/,
    },
    { why: "answers no JSON", answer: () => "hello", says: /not JSON/ },
    { why: "answers bytes", answer: () => Buffer.from([1, 2, 3]), says: /binary/ },
    { why: "answers null", answer: () => "null", says: /no answer/ },
    { why: "answers to nobody", answer: () => '{"id":"x","result":1}', says: /no answer/ },
    {
      why: "answers with errors",
      answer: (m: string) => answerOf(m, { error: { message: "no" } }),
      says: /an error: no/,
    },
    { why: "lies in numbers", answer: (m: string) => answerOf(m, { result: 42 }), says: /./ },
    { why: "lies in nulls", answer: (m: string) => answerOf(m, { result: null }), says: /./ },
    { why: "lies in hex", answer: (m: string) => answerOf(m, { result: "0xdeadbeef" }), says: /./ },
    {
      why: "claims an endless list",
      answer: (m: string) => answerOf(m, { result: `0x${"ff".repeat(64)}` }),
      says: /./,
    },
    {
      why: "lies in deep objects",
      answer: (m: string) => answerOf(m, { result: { __proto__: { a: [[[]]] } } }),
      says: /./,
    },
    { why: "says nothing", answer: () => undefined, says: /no answer/ },
  ])("$why fails in time, and nothing is printed", async ({ answer, says }) => {
    await using impostor = await startImpostor((socket, message) => {
      const text = answer(message);
      if (text !== undefined) socket.send(text);
    });
    const lines: string[] = [];
    await using reader = createChainReader(impostor.url, (line) => lines.push(line));
    const deadline = AbortSignal.timeout(1_500);
    const refused = reader.readNeurons(100, deadline).then(
      () => "taken",
      (error: Error) => (deadline.aborted ? "no answer" : error.message),
    );
    expect(await refused).toMatch(says);
    expect(await refused).not.toBe("taken");
    for (const spy of spies) expect(spy).not.toHaveBeenCalled();
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(500);
  });

  it.each([
    { why: "closes at once", close: "close" as const },
    { why: "breaks off", close: "terminate" as const },
  ])("$why fails at once, and is connected to anew the next time, not by itself", async ({ close }) => {
    await using impostor = await startImpostor((socket) => socket[close]());
    await using reader = createChainReader(impostor.url, () => undefined);
    await expect(reader.readNeurons(100, AbortSignal.timeout(5_000))).rejects.toThrow(/connection/);
    expect(impostor.connections.count).toBe(1);
    await expect(reader.readNeurons(100, AbortSignal.timeout(5_000))).rejects.toThrow(/connection/);
    expect(impostor.connections.count).toBe(2);
  });

  it("nobody listens at fails at once", async () => {
    await using reader = createChainReader("ws://127.0.0.1:9", () => undefined);
    await expect(reader.readNeurons(100, AbortSignal.timeout(5_000))).rejects.toThrow(/connection/);
  });

  it("floods with messages that answer nothing is left long before its deadline", async () => {
    await using impostor = await startImpostor((socket) => {
      const chunk = JSON.stringify({ id: -1, result: "x".repeat(1024 ** 2) });
      const flood = () => {
        if (socket.readyState === socket.OPEN) socket.send(chunk, flood);
      };
      flood();
    });
    await using reader = createChainReader(impostor.url, () => undefined);
    const deadline = AbortSignal.timeout(15_000);
    await expect(reader.readNeurons(100, deadline)).rejects.toThrow(/in one session/);
  });
});

describe("the console", () => {
  it("stays what it is for everybody else, also while the library is kept quiet", async () => {
    const lines: string[] = [];
    const inside = Promise.withResolvers<void>();
    const work = withQuietConsole(
      (line) => lines.push(line),
      async () => {
        await inside.promise;
        console.error("from   the\nlibrary");
      },
    );
    console.log("from outside");
    inside.resolve();
    await work;
    expect(lines).toEqual(["from the library"]);
    expect(spies[0]).toHaveBeenCalledExactlyOnceWith("from outside");
  });
});
