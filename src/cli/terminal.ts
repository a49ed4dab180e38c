/** What reaches a terminal. Text that others wrote (agents, servers, archives) is stripped of what a terminal obeys. */
import { stripVTControlCharacters } from "node:util";

// C0 but tab and newline, DEL, C1, and the bidirectional overrides that let text read differently from what it is.
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** `text` without escape sequences; other control characters are shown as `�`; tab and newline stay. */
export function harmless(text: string): string {
  return stripVTControlCharacters(text.replaceAll("\r\n", "\n")).replace(CONTROL, "\ufffd");
}

/** Like `harmless`, on one line and at most `charsMax` long. */
export function harmlessLine(text: string, charsMax: number): string {
  const line = harmless(text).replace(/\s+/g, " ").trim();
  return line.length <= charsMax ? line : `${line.slice(0, Math.max(0, charsMax - 1))}…`;
}

const COLUMNS_FALLBACK = 100;

export interface Terminal {
  readonly isTTY: boolean;
  readonly columns: number;
  write(text: string): void;
}

/** stdout as it is. Without a terminal, with NO_COLOR or TERM=dumb, nothing is drawn over. */
export function processTerminal(stream: NodeJS.WriteStream = process.stdout): Terminal {
  const env = process.env;
  return {
    isTTY: stream.isTTY === true && env.TERM !== "dumb" && (env.NO_COLOR ?? "") === "",
    get columns() {
      return stream.columns || COLUMNS_FALLBACK; // read each time: windows change; some terminals say 0
    },
    write: (text) => {
      stream.write(text);
    },
  };
}

/** Rows as an aligned table; the first row is its head. Widths count code points; cells must be harmless already. */
export function table(rows: readonly (readonly string[])[], rightAligned: ReadonlySet<number> = new Set()): string {
  const width = (cell: string) => [...cell].length;
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => width(row[column] ?? ""))));
  const line = (row: readonly string[]) =>
    widths
      .map((columnWidth, column) => {
        const cell = row[column] ?? "";
        const padding = " ".repeat(columnWidth - width(cell));
        return rightAligned.has(column) ? padding + cell : cell + padding;
      })
      .join("  ")
      .trimEnd();
  const [head = [], ...body] = rows;
  return [line(head), widths.map((columnWidth) => "─".repeat(columnWidth)).join("  "), ...body.map(line)].join("\n");
}
