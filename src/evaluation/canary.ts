/**
 * The canary: a test that must fail, in the shape of the hidden tests. It is a hidden test file with one failing test
 * behind it, under a random name, run by the same runner after everything passed. Code under test that ends the process with
 * 0, or rewrites what the runner reports, makes it pass too, and then the results were forced.
 *
 * It may flag nobody who is honest, so it counts only where it was seen to work: with the reference solution (on the base,
 * where there is none) it must have run and failed in its own words. A runner that it doesn't know, or where it did not
 * work, is called unguarded. What it does not see: code that tells a canary from a hidden test, or values made to compare
 * equal to anything.
 */
import { posix } from "node:path";
import type { JudgeCommand, TaskSpec } from "../archive/submission.ts";

export const runnerKinds = ["pytest", "unittest", "node", "go"] as const;
export type RunnerKind = (typeof runnerKinds)[number];

export interface Canary {
  readonly kind: RunnerKind;
  /** below /repo */
  readonly path: string;
  readonly content: string;
  /** run in /repo/`workingDir` */
  readonly argv: readonly string[];
  readonly workingDir: string;
  /** what its failure prints */
  readonly token: string;
}

interface Runner {
  readonly command: RegExp;
  readonly file: RegExp;
  readonly canary: (file: HiddenFile, token: string, workingDir: string) => Pick<Canary, "path" | "content" | "argv">;
}

interface HiddenFile {
  readonly path: string;
  readonly content: string;
}

const below = (file: HiddenFile, name: string) => posix.join(posix.dirname(file.path), name);
const fromFolder = (path: string, workingDir: string) =>
  posix.relative(posix.join("/", workingDir), posix.join("/", path));

const runners: Readonly<Record<RunnerKind, Runner>> = {
  pytest: {
    command: /\b(pytest|py\.test)\b/,
    file: /\.py$/,
    canary: (file, token, workingDir) => {
      const path = below(file, `test_${token}.py`);
      const test = `\n\npytestmark = []\n\n\ndef test_${token}():\n    assert "${token}" == ""\n`;
      const argv = [
        "python3",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        fromFolder(path, workingDir),
      ];
      return { path, content: file.content + test, argv };
    },
  },
  unittest: {
    command: /-m\s+unittest\b/,
    file: /\.py$/,
    canary: (file, token, workingDir) => {
      const path = below(file, `test_${token}.py`);
      const test = [
        "",
        "",
        `import unittest as u${token}`,
        "",
        "",
        `class T${token}(u${token}.TestCase):`,
        "    def test_it(self):",
        // An assertion that lets this through was tampered with: the canary then passes.
        "        checks = [(self.assertEqual, (1, 2)), (self.assertTrue, (0,)), (self.assertFalse, (1,)), (self.assertIn, (1, []))]",
        "        for check, values in checks:",
        "            try:",
        "                check(*values)",
        "                return",
        "            except AssertionError:",
        "                pass",
        `        raise AssertionError("${token}")`,
        "",
      ].join("\n");
      const module = fromFolder(path, workingDir).replace(/\.py$/, "").replaceAll("/", ".");
      return { path, content: file.content + test, argv: ["python3", "-m", "unittest", module] };
    },
  },
  node: {
    command: /\bnode\b[^;&|\n]*\s--test\b/,
    file: /\.[cm]?js$/,
    canary: (file, token, workingDir) => {
      const path = below(file, `t${token}.test${posix.extname(file.path)}`);
      // An assertion that lets this through was tampered with: the canary then passes.
      const checks = [
        "a.equal(1, 2)",
        "a.strictEqual(1, 2)",
        "a.deepEqual([1], [2])",
        "a.deepStrictEqual([1], [2])",
        "a.ok(0)",
        "a(0)",
      ];
      const tries = checks.map((check) => `try { ${check}; return; } catch {}`).join(" ");
      const fails = (assert: string) =>
        `("${token}", () => { const a = ${assert}; ${tries} throw new Error("${token}"); });\n`;
      const isModule = /\.mjs$/.test(file.path) || /^\s*(import\s|export\s)/m.test(file.content);
      const test = isModule
        ? `\nimport t${token} from "node:test";\nimport a${token} from "node:assert";\nt${token}${fails(`a${token}`)}`
        : `\n;require("node:test")${fails('require("node:assert")')}`;
      return { path, content: file.content + test, argv: ["node", "--test", fromFolder(path, workingDir)] };
    },
  },
  go: {
    command: /\bgo\s+test\b/,
    file: /_test\.go$/,
    canary: (file, token, workingDir) => {
      // Beside the hidden file and not a copy of it: a package holds each name once.
      const path = below(file, `t${token}_test.go`);
      const name = /^package\s+(\w+)/m.exec(file.content)?.[1] ?? "main";
      const content = `package ${name}\n\nimport "testing"\n\nfunc TestT${token}(t *testing.T) { t.Fatal("${token}") }\n`;
      return { path, content, argv: ["go", "test", `./${fromFolder(posix.dirname(path), workingDir)}`] };
    },
  },
};

/** The runner that a judging command calls; undefined: a plain command. */
export function runnerOf(judge: Pick<JudgeCommand, "script">): RunnerKind | undefined {
  return runnerKinds.find((kind) => runners[kind].command.test(judge.script));
}

/**
 * One canary for each runner that the task's commands call, where a hidden test file of its kind is named by one of them.
 * @param random letters and digits, another word at each call
 */
export function canariesOf(task: TaskSpec, random: () => string): readonly Canary[] {
  return runnerKinds.flatMap((kind) => {
    for (const judge of task.judges.filter((candidate) => runnerOf(candidate) === kind)) {
      const file = task.testFiles.find(
        ({ path, encoding }) => encoding === "utf8" && runners[kind].file.test(path) && isNamed(path, judge, kind),
      );
      if (file === undefined) continue;
      const token = `c${random()}`;
      const { workingDir } = judge;
      return [{ kind, token, workingDir, ...runners[kind].canary(file, token, workingDir) }];
    }
    return [];
  });
}

/** Whether a command runs this file: by its name, as a module, or as a part of the package that it names. */
function isNamed(path: string, { script, workingDir }: JudgeCommand, kind: RunnerKind): boolean {
  const relative = fromFolder(path, workingDir);
  if (kind === "go") return script.includes(posix.dirname(relative)) || /\.\/\.\.\./.test(script);
  const module = relative.replace(/\.py$/, "").replaceAll("/", ".");
  return script.includes(relative) || script.includes(module);
}

/** Names of the judging commands that no canary stands beside. */
export function unguardedOf(task: TaskSpec, guards: readonly string[]): readonly string[] {
  return task.judges.filter((judge) => !guards.includes(runnerOf(judge) ?? "")).map((judge) => judge.name);
}
