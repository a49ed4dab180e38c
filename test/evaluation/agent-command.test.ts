import { describe, expect, it } from "vitest";
import { agentArgv, dependencyEnvironment } from "../../src/evaluation/agent-command.ts";
import { environmentImage, environmentKey } from "../../src/evaluation/environment-key.ts";
import { isRefusal } from "../../src/evaluation/phases/git-speech.ts";
import { isMet } from "../../src/evaluation/phases/wishes.ts";
import { agentEnvironment, fitArgument } from "../../src/evaluation/runtime-environment.ts";
import { agentOf, BASE_COMMIT, inputOf, taskOf } from "./support.ts";

describe("how an agent is started", () => {
  it.each([
    {
      language: "python" as const,
      entry: "agent.py",
      argv: ["python3", "/agent/agent.py", "--instruction", "do $(it)"],
    },
    { language: "javascript" as const, entry: "main.mjs", argv: ["node", "/agent/main.mjs"] },
    { language: "typescript" as const, entry: "agent.ts", argv: ["tsx", "/agent/agent.ts"] },
    {
      language: "go" as const,
      entry: "agent.go",
      argv: ["bash", "-c", expect.stringContaining("go run"), "agent", "/agent/agent.go"],
    },
    { language: "ruby" as const, entry: "agent.rb", argv: ["ruby", "/agent/agent.rb"] },
    { language: "shell" as const, entry: "agent.sh", argv: ["bash", "/agent/agent.sh"] },
  ])("$language", ({ language, entry, argv }) => {
    expect(agentArgv(agentOf({ language, entry }), "do $(it)")).toEqual(argv);
  });

  it("an argument and a variable stay within what the kernel takes, and hold no NUL", () => {
    const prompt = `\0${"é".repeat(100_000)}`;
    expect(Buffer.byteLength(fitArgument(prompt))).toBeLessThan(128 * 1024);
    const env = agentEnvironment(inputOf(taskOf({ prompt })), BASE_COMMIT, 600_500);
    for (const [name, value] of Object.entries(env)) {
      expect(Buffer.byteLength(`${name}=${value}\0`)).toBeLessThanOrEqual(128 * 1024);
      expect(value).not.toContain("\0");
    }
    expect(env).toMatchObject({
      TERM_BASE_COMMIT: BASE_COMMIT,
      TERM_TIMEOUT: "600",
      TERM_DIFFICULTY: "",
      HOME: "/root",
    });
  });

  it("nothing of the server's own environment is passed", () => {
    process.env.PROCTOR_TEST_CANARY = "secret";
    const env = agentEnvironment(inputOf(), BASE_COMMIT, 1_000);
    delete process.env.PROCTOR_TEST_CANARY;
    expect(JSON.stringify(env)).not.toContain("secret");
  });

  it("packages are found after the system's own programs", () => {
    const env = dependencyEnvironment(agentOf({ requirements: ["requirements.txt", "package.json"] }));
    expect(env.PYTHONPATH).toBe("/agent/.proctor/python");
    expect(env.PATH).toMatch(/^\/usr\/local\/sbin:.*:\/agent\/node_modules\/\.bin$/);
    expect(dependencyEnvironment(agentOf())).toEqual({});
  });
});

describe("the environment's key", () => {
  const key = environmentKey("sha256:a", taskOf({ install: ["x"] }), BASE_COMMIT);

  it.each([
    { other: environmentKey("sha256:b", taskOf({ install: ["x"] }), BASE_COMMIT), why: "another image" },
    { other: environmentKey("sha256:a", taskOf({ install: ["x"] }), "c".repeat(40)), why: "another commit" },
    { other: environmentKey("sha256:a", taskOf({ install: ["x", "y"] }), BASE_COMMIT), why: "another command" },
    {
      other: environmentKey("sha256:a", taskOf({ install: ["x"], installDir: "sub" }), BASE_COMMIT),
      why: "another folder",
    },
    {
      other: environmentKey("sha256:a", taskOf({ install: ["x"], repoUrl: "https://b/c" }), BASE_COMMIT),
      why: "another repository",
    },
  ])("differs for $why", ({ other }) => expect(other).not.toBe(key));

  it("is the same for another task of the same repository, whatever its prompt and tests are", () => {
    const task = taskOf({ install: ["x"], prompt: "other", testFiles: [], judges: [], referencePatch: "p" });
    expect(environmentKey("sha256:a", task, BASE_COMMIT)).toBe(key);
  });

  it("names an image that the engine takes, and that no other instance has", () => {
    expect(environmentImage("inst/ance:1", key)).toMatch(/^proctor\/environment:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/);
    expect(environmentImage("a", key)).not.toBe(environmentImage("b", key));
  });
});

describe("version wishes", () => {
  it.each([
    ["3.11", "3.11.2", true],
    ["3", "3.11.2", true],
    ["3.9", "3.11.2", false],
    ["3.1", "3.11.2", false],
    ["v18", "18.20.4", true],
    ["1.21.x", "1.21.5", true],
    [">=3.9", "3.11.2", true],
    [">=3.12", "3.11.2", false],
    ["latest", "3.11.2", true],
  ])("%s with %s → %s", (wish, offered, met) => expect(isMet(wish, offered)).toBe(met));
});

describe("git's complaints", () => {
  it.each([
    ["fatal: remote error: upload-pack: not our ref 0000", true],
    ["fatal: repository 'https://github.com/o/n.git/' not found", true],
    ["fatal: could not read Username for 'https://github.com': terminal prompts disabled", true],
    ["fatal: '/mnt/source' does not appear to be a git repository", true],
    ["fatal: unable to access 'https://h/': The requested URL returned error: 404", true],
    ["fatal: unable to access 'https://h/': The requested URL returned error: 503", false],
    ["fatal: unable to access 'https://h/': Could not resolve host: h", false],
    ["fatal: unable to access 'https://h/': Failed to connect to h port 443: Connection timed out", false],
    ["error: RPC failed; curl 56 GnuTLS recv error", false],
    ["fatal: early EOF", false],
    ["", false],
  ])("%s → the task's fault: %s", (text, refusal) => expect(isRefusal(text)).toBe(refusal));
});
