/** Server-sent events, as the HTML standard defines their text (section 9.2.6); every input has a bound. */

export interface SseMessage {
  readonly id: string;
  readonly data: string;
}

const MESSAGE_CHARS_MAX = 16 * 1024 ** 2;

/** Reads messages out of a byte stream. @throws Error where one is longer than 16 Mi characters */
export async function* readMessages(body: AsyncIterable<Uint8Array>): AsyncGenerator<SseMessage> {
  const decoder = new TextDecoder();
  let rest = "";
  let data: string[] = [];
  let dataChars = 0;
  let id = "";
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true });
    // A lone CR at the end may be the first half of CRLF: it waits for what follows.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    if (rest.length + dataChars > MESSAGE_CHARS_MAX) throw new Error("a server-sent event is too long");
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield { id, data: data.join("\n") };
        data = [];
        dataChars = 0;
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue; // a comment, which keeps the connection alive
      const field = colon === -1 ? line : line.slice(0, colon);
      const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") {
        data.push(value);
        dataChars += value.length;
      } else if (field === "id" && !value.includes("\0")) id = value;
    }
  }
}
