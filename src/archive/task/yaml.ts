/**
 * YAML of a stranger, as plain data: failsafe schema (every scalar is text, so a commit of digits stays what it is), one
 * document, no aliases, anchors, tags, directives, merge keys or doubled keys. Size, tokens and depth are bounded while
 * the text is lexed, before anything is built from it, so that a refusal takes milliseconds.
 */
import { Composer, CST, isMap, isScalar, isSeq, Lexer, Parser } from "yaml";
import { limits } from "../../kernel/limits.ts";

export type YamlValue = string | readonly YamlValue[] | { readonly [key: string]: YamlValue };

/** Why a text was refused; the caller knows the file's name. */
export class YamlProblem extends Error {
  override readonly name = "YamlProblem";
}

const BLANK_RUN_MAX = 1_000;

/** @returns a map without prototype, or a list or text at the root. @throws YamlProblem */
export function parseYaml(bytes: Buffer): YamlValue {
  if (bytes.length > limits.yamlBytesMax) {
    throw new YamlProblem(`is ${bytes.length} bytes long; at most ${limits.yamlBytesMax} are allowed`);
  }
  const tokens = parseTokens(decodeUtf8(bytes));
  const composer = new Composer({
    schema: "failsafe",
    version: "1.2",
    stringKeys: true,
    uniqueKeys: false, // its check is quadratic; ours below is not
    prettyErrors: false,
    logLevel: "silent",
  });
  const documents = [...composer.compose(tokens, false)];
  const [document] = documents;
  if (document === undefined) throw new YamlProblem("is empty");
  if (documents.length > 1) throw new YamlProblem("holds more than one document");
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) throw new YamlProblem(`is malformed: ${problem.message.slice(0, 120)}`);
  return toValue(document.contents);
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new YamlProblem("is not valid UTF-8");
  }
}

function parseTokens(text: string): CST.Token[] {
  const parser = new Parser();
  const tokens: CST.Token[] = [];
  let count = 0;
  let isText = false;
  let blankRun = 0;
  for (const source of new Lexer().lex(text)) {
    if (++count > limits.yamlTokensMax) throw new YamlProblem(`has more than ${limits.yamlTokensMax} tokens`);
    // The lexer announces plain and block text with a mark of its own; what follows is content, whatever it begins with.
    if (!isText) checkToken(source);
    // For each blank line the parser looks at all those before it again.
    blankRun = !isText && /^[\s#]/.test(source) ? blankRun + 1 : 0;
    if (blankRun > BLANK_RUN_MAX)
      throw new YamlProblem(`has more than ${BLANK_RUN_MAX} blank or comment lines in a row`);
    isText = source === CST.SCALAR;
    for (const token of parser.next(source)) tokens.push(token);
    if (parser.stack.length > limits.yamlDepthMax) {
      throw new YamlProblem(`is nested deeper than ${limits.yamlDepthMax} levels`);
    }
  }
  for (const token of parser.end()) tokens.push(token);
  return tokens;
}

function checkToken(source: string): void {
  switch (CST.tokenType(source)) {
    case "alias":
    case "anchor":
      throw new YamlProblem("uses an anchor or alias; write the value out");
    case "tag":
      throw new YamlProblem("uses a tag; write plain values");
    case "directive-line":
      throw new YamlProblem("uses a directive; remove the line that begins with %");
    default:
      return;
  }
}

/** Depth is bounded by `parseTokens`, so recursion is too. */
function toValue(node: unknown): YamlValue {
  if (node === null || node === undefined) return "";
  if (isScalar(node)) return typeof node.value === "string" ? node.value : "";
  if (isSeq(node)) return node.items.map(toValue);
  if (!isMap(node)) throw new YamlProblem("holds something that is no map, list or text");
  const map: { [key: string]: YamlValue } = Object.create(null);
  for (const { key, value } of node.items) {
    const name = isScalar(key) && typeof key.value === "string" ? key.value : undefined;
    if (name === undefined) throw new YamlProblem("has a key that is not plain text");
    if (name === "__proto__" || name === "<<") throw new YamlProblem(`has the key ${name}, which is not allowed`);
    if (Object.hasOwn(map, name)) throw new YamlProblem(`has the key ${JSON.stringify(name.slice(0, 60))} twice`);
    map[name] = toValue(value);
  }
  return map;
}
