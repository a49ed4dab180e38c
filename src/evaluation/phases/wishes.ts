/** Version wishes of a task (`python: 3.11`): honoured where the environment happens to offer them, else noted. */
import { succeeded } from "../../kernel/outcome.ts";
import type { Sandbox } from "../../sandbox/port.ts";
import { runtimeEnvironment } from "../runtime-environment.ts";
import { tryStep } from "../steps.ts";

/** How each tool tells its version. Own words of the task are never run. */
const questions: Readonly<Record<string, readonly string[]>> = {
  python: ["python3", "--version"],
  node: ["node", "--version"],
  go: ["go", "version"],
  rust: ["rustc", "--version"],
  java: ["java", "--version"],
  ruby: ["ruby", "--version"],
};

/**
 * Asked in the task's own environment, where install may have brought another version; as the agent's uid, so that what a
 * tool leaves behind goes with what the agent leaves. @returns a note for each wish not honoured
 */
export async function unmetWishes(
  sandbox: Sandbox,
  wishes: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string[]> {
  const notes: string[] = [];
  for (const [tool, wish] of Object.entries(wishes)) {
    const argv = Object.hasOwn(questions, tool) ? questions[tool] : undefined;
    if (argv === undefined) {
      notes.push(`Wish not honoured: ${tool} ${wish}; the sandbox knows no such tool.`);
      continue;
    }
    const step = { name: `ask ${tool} for its version`, argv, user: "agent", env: runtimeEnvironment } as const;
    const asked = await tryStep(sandbox, { ...step, timeoutMs: 20_000 }, { signal });
    const offered = succeeded(asked.outcome) ? /\d+(\.\d+)*/.exec(asked.output.text)?.[0] : undefined;
    if (offered === undefined) notes.push(`Wish not honoured: ${tool} ${wish}; the environment has none.`);
    else if (!isMet(wish, offered)) notes.push(`Wish not honoured: ${tool} ${wish}; the environment has ${offered}.`);
  }
  return notes;
}

/** `3.11` is met by 3.11.2, `18` by 18.20.4, `1.21.x` by 1.21.5; a comparison like `>=3.9` is met by what begins no lower. */
export function isMet(wish: string, offered: string): boolean {
  const numbers = (text: string) =>
    (/\d+(\.\d+)*/.exec(text)?.[0] ?? "")
      .split(".")
      .filter((part) => part !== "")
      .map(Number);
  const wanted = numbers(wish);
  const has = numbers(offered);
  if (wanted.length === 0) return true;
  if (/^\s*>=?/.test(wish)) {
    const at = wanted.findIndex((part, index) => part !== (has[index] ?? 0));
    return at === -1 || (has[at] ?? 0) > (wanted[at] ?? 0);
  }
  return wanted.every((part, index) => part === has[index]);
}
