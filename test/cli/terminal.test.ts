import { describe, expect, test } from "vitest";
import { harmless, harmlessLine, table } from "../../src/cli/terminal.ts";

test.for([
  { why: "plain text stays", text: "wrap: ok\n\ttab", shown: "wrap: ok\n\ttab" },
  { why: "colours go", text: "\u001b[31mred\u001b[0m", shown: "red" },
  { why: "the title of the window can't be set", text: "\u001b]0;owned\u0007x", shown: "x" },
  { why: "the screen can't be cleared", text: "\u001b[2J\u001b[Hx", shown: "x" },
  { why: "a link's target can't hide", text: "\u001b]8;;http://evil\u001b\\here\u001b]8;;\u001b\\", shown: "here" },
  { why: "8-bit control sequences", text: "\u009b31mx", shown: "x" },
  { why: "a lone escape", text: "a\u001b", shown: "a\ufffd" },
  { why: "a carriage return can't overwrite what was said", text: "passed\rfailed", shown: "passed\ufffdfailed" },
  { why: "Windows' line ends are line ends", text: "a\r\nb", shown: "a\nb" },
  { why: "backspaces, NUL, bell", text: "a\b\0\u0007", shown: "a\ufffd\ufffd\ufffd" },
  { why: "text can't be turned around", text: "exe.\u202etxt", shown: "exe.\ufffdtxt" },
])("harmless: $why", ({ text, shown }) => {
  expect(harmless(text)).toBe(shown);
});

test("one line, cut to its length", () => {
  expect(harmlessLine("a\nb   c", 80)).toBe("a b c");
  expect(harmlessLine("abcdef", 4)).toBe("abc…");
});

describe("table", () => {
  test("aligns, numbers to the right", () => {
    expect(
      table(
        [
          ["task", "reward"],
          ["a", "1.00"],
          ["longer", "0"],
        ],
        new Set([1]),
      ),
    ).toBe(["task    reward", "──────  ──────", "a         1.00", "longer       0"].join("\n"));
  });
});
