/** Which file starts an agent. */
import { describe, expect, test } from "vitest";
import { agentEntry } from "../../src/archive/agent.ts";
import { AppError } from "../../src/kernel/errors.ts";

const entryOf = (...paths: string[]) => agentEntry(paths.map((path) => ({ path })));

describe("the entry", () => {
  test.each([
    { why: "agent.py", files: ["agent.py"], entry: "agent.py", language: "python" },
    { why: "agent before main", files: ["main.py", "agent.js"], entry: "agent.js", language: "javascript" },
    { why: "main where there is no agent", files: ["main.go", "util.go", "go.mod"], entry: "main.go", language: "go" },
    {
      why: "the only program, whatever its name",
      files: ["solver.rb", "README.md", "requirements.txt"],
      entry: "solver.rb",
      language: "ruby",
    },
    {
      why: "a module of that name deeper down is no entry",
      files: ["run.sh", "lib/agent.py"],
      entry: "run.sh",
      language: "shell",
    },
    {
      why: "Python wins a tie of names",
      files: ["agent.py", "agent.sh", "agent.ts"],
      entry: "agent.py",
      language: "python",
    },
    { why: "a lone agent_code.py", files: ["agent_code.py"], entry: "agent_code.py", language: "python" },
    {
      why: "a folder of its own where nothing else could start",
      files: ["README.md", "mine/agent.py", "mine/tools.py", "mine/lib/main.py"],
      entry: "mine/agent.py",
      language: "python",
    },
    { why: "module endings", files: ["agent.mjs"], entry: "agent.mjs", language: "javascript" },
    { why: "typescript", files: ["main.ts", "package.json"], entry: "main.ts", language: "typescript" },
  ])("$why", ({ files, entry, language }) => expect(entryOf(...files)).toEqual({ entry, language }));

  test.each([
    {
      why: "two names of one rank",
      files: ["agent.js", "agent.ts"],
      reason: /more than one possible entry: "agent.js", "agent.ts"/,
    },
    { why: "two programs without a name", files: ["a.py", "b.py"], reason: /more than one/ },
    { why: "two folders", files: ["a/agent.py", "b/agent.py"], reason: /no agent\.\* or main\.\*/ },
    { why: "nothing but a folder in a folder", files: ["a/b/agent.py"], reason: /no agent/ },
    { why: "no program", files: ["README.md", "agent.txt"], reason: /no agent\.\* or main\.\*/ },
    { why: "unknown language", files: ["agent.rs"], reason: /known language \(\.py/ },
    { why: "no ending", files: ["agent"], reason: /no agent/ },
    { why: "an ending that every object has", files: ["agent.constructor"], reason: /no agent/ },
  ])("refused: $why", ({ files, reason }) => {
    try {
      entryOf(...files);
      expect.unreachable("was accepted");
    } catch (error) {
      expect(error).toBeInstanceOf(AppError);
      expect((error as AppError).details.reason).toMatch(reason);
    }
  });
});
