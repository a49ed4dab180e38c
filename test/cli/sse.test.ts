import { expect, test } from "vitest";
import { readMessages } from "../../src/cli/client/sse.ts";

async function read(parts: readonly (string | Uint8Array)[]) {
  async function* bytes() {
    for (const part of parts) yield typeof part === "string" ? new TextEncoder().encode(part) : part;
  }
  return Array.fromAsync(readMessages(bytes()));
}

const euro = new TextEncoder().encode("data: €\n\n");

test.for([
  { why: "id and data", parts: ["id: 1\ndata: {}\n\n"], messages: [{ id: "1", data: "{}" }] },
  {
    why: "the id stays for later messages",
    parts: ["id: 1\ndata: a\n\ndata: b\n\n"],
    messages: [
      { id: "1", data: "a" },
      { id: "1", data: "b" },
    ],
  },
  { why: "several data lines are one text", parts: ["data: a\ndata: b\n\n"], messages: [{ id: "", data: "a\nb" }] },
  {
    why: "comments keep alive and say nothing",
    parts: [": hello\n\n", "data: a\n\n"],
    messages: [{ id: "", data: "a" }],
  },
  {
    why: "no space after the colon, and only one is taken",
    parts: ["data:a\n\ndata:  b\n\n"],
    messages: [
      { id: "", data: "a" },
      { id: "", data: " b" },
    ],
  },
  {
    why: "carriage returns",
    parts: ["data: a\r\n\r\ndata: b\r\rdata: c\n\n"],
    messages: [
      { id: "", data: "a" },
      { id: "", data: "b" },
      { id: "", data: "c" },
    ],
  },
  {
    why: "CRLF cut in the middle is one line end",
    parts: ["data: a\r", "\ndata: b\r", "\n\r", "\n"],
    messages: [{ id: "", data: "a\nb" }],
  },
  {
    why: "cut anywhere, inside a character too",
    parts: [euro.slice(0, 7), euro.slice(7)],
    messages: [{ id: "", data: "€" }],
  },
  { why: "an unfinished message is no message", parts: ["data: a\n\ndata: b"], messages: [{ id: "", data: "a" }] },
  {
    why: "unknown fields are ignored",
    parts: ["event: x\nretry: 5\nfoo\ndata: a\n\n"],
    messages: [{ id: "", data: "a" }],
  },
])("$why", async ({ parts, messages }) => {
  expect(await read(parts)).toEqual(messages);
});

test("a message without end is refused instead of kept", async () => {
  const part = `data: ${"x".repeat(1_048_576)}\n`;
  await expect(read(new Array(20).fill(part))).rejects.toThrow(/too long/);
});
