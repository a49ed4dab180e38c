/** Threat rows Y01–Y03: a YAML file of a stranger is refused within 200 ms, or is plain data. */
import { describe, expect, test } from "vitest";
import { parseYaml, YamlProblem } from "../../../src/archive/task/yaml.ts";
import { fastestMs } from "../support.ts";

const bomb = [
  "a: &a [x,x,x,x,x,x,x,x,x]",
  ...[..."bcdefghi"].map((key, n) => `${key}: &${key} [${Array(9).fill(`*${"abcdefghi"[n]}`).join(",")}]`),
].join("\n");

describe("refused within 200 ms", () => {
  const rows: readonly { row: string; why: string; text: string | Buffer; problem: RegExp }[] = [
    { row: "Y01", why: "alias bomb", text: bomb, problem: /anchor or alias/ },
    { row: "Y01", why: "cycle", text: "a: &a\n  b: *a\n", problem: /anchor or alias/ },
    { row: "Y01", why: "20 000 flow levels", text: "[".repeat(20_000), problem: /nested deeper/ },
    { row: "Y01", why: "20 000 map levels", text: "{a: ".repeat(20_000), problem: /nested deeper/ },
    { row: "Y01", why: "20 000 compact sequences", text: `${"- ".repeat(20_000)}x`, problem: /nested deeper/ },
    {
      row: "Y01",
      why: "200 indented levels",
      text: Array.from({ length: 200 }, (_, n) => `${" ".repeat(n)}a:`).join("\n"),
      problem: /nested deeper/,
    },
    {
      row: "Y01",
      why: "10 MB",
      text: Buffer.alloc(10 * 1024 ** 2, "a"),
      problem: /10485760 bytes long; at most 4194304/,
    },
    { row: "Y01", why: "4 MB of list items", text: "- a\n".repeat(1_000_000), problem: /more than 10000 tokens/ },
    {
      row: "Y01",
      why: "4 MB of keys",
      text: Array.from({ length: 400_000 }, (_, n) => `k${n}: v`).join("\n"),
      problem: /more than 10000 tokens|bytes long/,
    },
    {
      row: "Y01",
      why: "4 MB of empty lines",
      text: `a: b\n${"\n".repeat(4_000_000)}`,
      problem: /blank or comment lines/,
    },
    { row: "Y02", why: "language tag", text: "a: !!python/object/apply:os.system ['id']", problem: /tag/ },
    { row: "Y02", why: "js tag", text: "a: !!js/function 'function(){}'", problem: /tag/ },
    { row: "Y02", why: "binary tag", text: "a: !!binary aGk=", problem: /tag/ },
    { row: "Y02", why: "tag directive", text: "%TAG ! tag:x,2000:\n---\na: b", problem: /directive/ },
    { row: "Y02", why: "two documents", text: "a: b\n---\nc: d", problem: /more than one document/ },
    { row: "Y02", why: "double key", text: "a: b\na: c", problem: /key "a" twice/ },
    { row: "Y02", why: "double key in a list", text: "x:\n  - {a: b, a: c}", problem: /key "a" twice/ },
    { row: "Y02", why: "merge key", text: "a:\n  <<: {b: c}", problem: /key <</ },
    { row: "Y02", why: "map as a key", text: "{a: b}: c", problem: /malformed|plain text/ },
    { row: "Y03", why: "__proto__", text: "__proto__:\n  polluted: yes", problem: /key __proto__/ },
    { row: "Y03", why: "__proto__ inside", text: "meta: {__proto__: {polluted: yes}}", problem: /key __proto__/ },
    { row: "Y03", why: "broken quotes", text: 'a: "b', problem: /malformed/ },
    { row: "Y03", why: "tab indentation", text: "a:\n\tb: c", problem: /malformed/ },
    { row: "Y03", why: "not UTF-8", text: Buffer.from([0x61, 0x3a, 0x20, 0xff]), problem: /not valid UTF-8/ },
    { row: "Y03", why: "empty", text: "", problem: /empty/ },
  ];
  test.each(rows)("$row $why", ({ text, problem }) => {
    const bytes = Buffer.from(text as string);
    expect(() => parseYaml(bytes)).toThrow(YamlProblem);
    expect(() => parseYaml(bytes)).toThrow(problem);
    expect(fastestMs(() => parseYaml(bytes))).toBeLessThan(200);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe("accepted as text", () => {
  const rows: readonly { why: string; text: string; value: unknown }[] = [
    {
      why: "numbers",
      text: "a: 1.50\nb: 0x10\nc: 1_000\nd: .inf",
      value: { a: "1.50", b: "0x10", c: "1_000", d: ".inf" },
    },
    {
      why: "a commit that looks like a float",
      text: `a: ${"1".repeat(3)}e${"4".repeat(36)}`,
      value: { a: `${"1".repeat(3)}e${"4".repeat(36)}` },
    },
    { why: "a commit of digits with leading zeros", text: `a: ${"0".repeat(40)}`, value: { a: "0".repeat(40) } },
    {
      why: "yes, null, ~ and dates",
      text: "a: yes\nb: null\nc: ~\nd: 2026-02-17T09:16:46Z",
      value: { a: "yes", b: "null", c: "~", d: "2026-02-17T09:16:46Z" },
    },
    { why: "nothing", text: "a:\nb: []\nc: {}", value: { a: "", b: [], c: {} } },
    { why: "block scalars", text: "a: |\n  x\n  y\nb: >-\n  x\n  y\n", value: { a: "x\ny\n", b: "x y" } },
    {
      why: "constructor and other inherited names",
      text: "constructor: x\ntoString: y",
      value: { constructor: "x", toString: "y" },
    },
    { why: "a byte order mark and CRLF", text: "\ufeffa: b\r\nc: d\r\n", value: { a: "b", c: "d" } },
    { why: "300 comment lines", text: `${"# x\n\n".repeat(300)}a: b`, value: { a: "b" } },
    { why: "a document start and comments", text: "# hi\n---\na: b # c\n...\n", value: { a: "b" } },
    { why: "block text that begins like an alias or tag", text: "a: |-\n *x\nb: |-\n !y", value: { a: "*x", b: "!y" } },
    { why: "symbols inside values", text: "a: 'x *y &z !t'\nb: x*y&z", value: { a: "x *y &z !t", b: "x*y&z" } },
  ];
  test.each(rows)("$why", ({ text, value }) => {
    expect(JSON.parse(JSON.stringify(parseYaml(Buffer.from(text))))).toEqual(JSON.parse(JSON.stringify(value)));
  });

  test.each([
    { why: "quoted", text: `a: 'x\n${" ".repeat(1_000_000)}b'` },
    { why: "plain", text: `a: x\n${" ".repeat(1_000_000)}b` },
  ])("a million blanks to fold, $why, in 200 ms", ({ text }) => {
    expect(parseYaml(Buffer.from(text))).toEqual({ a: "x b" });
    expect(fastestMs(() => parseYaml(Buffer.from(text)))).toBeLessThan(200);
  });

  test("a patch of a megabyte in one double-quoted scalar", () => {
    const patch = '+ line with "quotes" and \\ and ünïcode\n'.repeat(25_000);
    const yaml = Buffer.from(`patch: ${JSON.stringify(patch)}\n`);
    expect(parseYaml(yaml)).toEqual({ patch });
    expect(fastestMs(() => parseYaml(yaml))).toBeLessThan(1_000);
  });
});
