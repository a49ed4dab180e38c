/** Task folders → TaskSpec: dialects, judges, places, refusals (threat rows Y03, Y04, Y10, Z14). */
import { describe, expect, test } from "vitest";
import { parseTask, type TaskFolder } from "../../../src/archive/task/task.ts";
import { AppError } from "../../../src/kernel/errors.ts";

const rules = { template: "https://github.com/{owner}/{name}.git", hosts: ["github.com"] };
const commit = "0123456789abcdef0123456789abcdef01234567";
const base = `repo: psf/requests\nbase_commit: ${commit}\n`;

interface Given {
  readonly yaml?: string;
  readonly path?: string;
  readonly prompt?: string | Buffer | null;
  readonly checks?: string;
  readonly tests?: Readonly<Record<string, string | Buffer>>;
}

function folder({ yaml = base, path = "group/one", prompt = "Fix it\n", checks, tests = {} }: Given): TaskFolder {
  return {
    path,
    yaml: Buffer.from(yaml),
    prompt: prompt === null ? undefined : Buffer.from(prompt as string),
    checks: checks === undefined ? undefined : Buffer.from(checks),
    tests: Object.entries(tests).map(([name, content]) => ({
      path: name,
      bytes: Buffer.from(content as string),
      executable: false,
    })),
  };
}
const parse = (given: Given) => parseTask(folder(given), rules);
const listed = (files: Readonly<Record<string, string>>) =>
  `${base}meta:\n  test_files: ${JSON.stringify(JSON.stringify(Object.entries(files).map(([path, content]) => ({ path, content }))))}\n`;

describe("dialects", () => {
  test("first, in full", () => {
    const yaml = `id: org/task-1\n${base}version: '1'\nlanguage: python\ndifficulty: hard\ndifficulty_score: 3\ninstall:\n- pip install -e .\n- make\ninstall_config: {install: never, python: '3.10', node: 20, test_cmd: pytest}\nfail_to_pass: [pytest a]\npass_to_pass: [pytest b]\npatch: |\n  diff --git\nunknown: {deep: [1, 2]}\n`;
    expect(parse({ yaml })).toEqual({
      taskId: "org/task-1",
      repo: "psf/requests",
      repoUrl: "https://github.com/psf/requests.git",
      baseCommit: commit,
      prompt: "Fix it\n",
      language: "python",
      difficulty: "hard",
      install: ["pip install -e .", "make"],
      installDir: ".",
      toolVersions: { python: "3.10", node: "20" },
      judges: [
        { name: "fail_to_pass_1", script: "pytest a", workingDir: "." },
        { name: "pass_to_pass_1", script: "pytest b", workingDir: "." },
      ],
      judgedBy: "lists",
      testFiles: [],
      referencePatch: "diff --git\n",
    });
  });

  test("second, in full", () => {
    const yaml = `task_id: two\nrepo:\n  url: https://github.com/psf/requests\n  base_commit: ${commit.toUpperCase()}\nenvironment:\n  language: go\n  go: '1.22'\n  image: x\ninstall:\n  commands: [go mod download]\n  working_dir: /repo/sub\ntests:\n  fail_to_pass: [go test ./a]\n  pass_to_pass: [go vet]\n  working_dir: sub/x\n`;
    expect(parse({ yaml })).toMatchObject({
      taskId: "two",
      repo: "https://github.com/psf/requests",
      repoUrl: "https://github.com/psf/requests.git",
      baseCommit: commit,
      language: "go",
      install: ["go mod download"],
      installDir: "sub",
      toolVersions: { go: "1.22" },
      judges: [
        { name: "fail_to_pass_1", script: "go test ./a", workingDir: "sub/x" },
        { name: "pass_to_pass_1", script: "go vet", workingDir: "sub/x" },
      ],
    });
  });

  test.each([
    { why: "absent", yaml: "repo: a/b\n" },
    { why: "null", yaml: "repo: a/b\nbase_commit: null\n" },
    { why: "empty", yaml: "repo: a/b\nbase_commit:\n" },
  ])("no base commit: $why", ({ yaml }) => expect(parse({ yaml })).not.toHaveProperty("baseCommit"));

  test("install_config.install is one command where there is no install list", () => {
    expect(parse({ yaml: `${base}install: []\ninstall_config:\n  install: a && b\n` }).install).toEqual(["a && b"]);
  });

  test("a list as JSON text, as data sets write it", () => {
    const yaml = `${base}fail_to_pass: '["pytest a", "pytest b"]'\npass_to_pass: '[ -f x ]'\n`;
    expect(parse({ yaml }).judges.map((judge) => judge.script)).toEqual(["pytest a", "pytest b", "[ -f x ]"]);
  });

  test("the prompt of the YAML where there is no prompt.md", () => {
    expect(parse({ yaml: `${base}prompt: from yaml\n`, prompt: null }).prompt).toBe("from yaml");
  });

  test("the path is the id where the YAML gives none", () => expect(parse({ path: "a/b c" }).taskId).toBe("a/b c"));
});

describe("Y04 a commit is kept exactly, or refused", () => {
  test.each([`123e${"4".repeat(36)}`, "1".repeat(40), `0x${"1".repeat(38)}`.replace("x", "e"), "0".repeat(40)])(
    "%s",
    (text) => {
      expect(parse({ yaml: `repo: a/b\nbase_commit: ${text}\n` }).baseCommit).toBe(text);
    },
  );
  test.each([
    "HEAD",
    "main",
    "--orphan=x",
    "123e45",
    `${commit}0`,
    commit.slice(1),
    `${commit.slice(0, 39)}g`,
    "'$(id)'",
    `"${commit}\\n"`,
  ])("%s", (text) => {
    if (text.startsWith('"')) expect(parse({ yaml: `repo: a/b\nbase_commit: ${text}\n` }).baseCommit).toBe(commit);
    else expect(() => parse({ yaml: `repo: a/b\nbase_commit: ${text}\n` })).toThrow(AppError);
  });
});

describe("judges", () => {
  const lists = `${base}fail_to_pass: [f1, f2]\npass_to_pass: [p1]\n`;
  const names = (given: Given) => parse(given).judges.map((judge) => judge.name);

  test.each<{ why: string; given: Given; by: string; judges: string[] }>([
    {
      why: "scripts first",
      given: { yaml: lists, checks: "c", tests: { "fail_to_pass_1.sh": "x", "pass_to_pass_1.sh": "y" } },
      by: "tests",
      judges: ["fail_to_pass_1", "pass_to_pass_1"],
    },
    {
      why: "in natural order",
      given: { tests: { "t_10.sh": "x", "t_2.sh": "x", "a.sh": "x" } },
      by: "tests",
      judges: ["a", "t_2", "t_10"],
    },
    {
      why: "checks.txt next, without blank lines and comments",
      given: { yaml: lists, checks: "c1\r\n\n  # no\nc2\n" },
      by: "checks",
      judges: ["check_1", "check_2"],
    },
    {
      why: "lists last, fail_to_pass first",
      given: { yaml: lists },
      by: "lists",
      judges: ["fail_to_pass_1", "fail_to_pass_2", "pass_to_pass_1"],
    },
    { why: "none", given: {}, by: "none", judges: [] },
    { why: "none: only comments", given: { checks: "# a\n\n# b" }, by: "none", judges: [] },
    {
      why: "a script without a command is no judge",
      given: { checks: "c1", tests: { "a.sh": "#!/bin/bash\n# nothing\n" } },
      by: "checks",
      judges: ["check_1"],
    },
    {
      why: "a script below tests/ is a file",
      given: { checks: "c1", tests: { "sub/a.sh": "x" } },
      by: "checks",
      judges: ["check_1"],
    },
    {
      why: "a script that meta.test_files lists is a file",
      given: { yaml: listed({ "src/a.sh": "x" }), checks: "c1", tests: { "a.sh": "x" } },
      by: "checks",
      judges: ["check_1"],
    },
  ])("$why", ({ given, by, judges }) => {
    expect(parse(given).judgedBy).toBe(by);
    expect(names(given)).toEqual(judges);
  });

  test("a script is kept byte for byte", () => {
    const script = "#!/bin/bash\ncat <<'EOF'\n$(touch x) `id` \"'\nEOF\n";
    expect(parse({ tests: { "a.sh": script } }).judges[0]?.script).toBe(script);
  });
});

describe("test files", () => {
  const places = (given: Given) => Object.fromEntries(parse(given).testFiles.map((file) => [file.path, file.content]));

  test.each<{ why: string; given: Given; files: Record<string, string> }>([
    {
      why: "the list's place, the folder's content",
      given: { yaml: listed({ "src/deep/a_test.py": "list" }), tests: { "a_test.py": "folder" } },
      files: { "src/deep/a_test.py": "folder" },
    },
    {
      why: "only in the list",
      given: { yaml: listed({ "src/a_test.py": "list" }) },
      files: { "src/a_test.py": "list" },
    },
    {
      why: "not in the list: its path under tests/",
      given: { tests: { "unit/a_test.py": "x" } },
      files: { "tests/unit/a_test.py": "x" },
    },
    {
      why: "exact place wins over a like ending",
      given: { yaml: listed({ "tests/a.py": "1", "src/tests/a.py": "2" }), tests: { "a.py": "new" } },
      files: { "tests/a.py": "new", "src/tests/a.py": "2" },
    },
    {
      why: "two of one name: each keeps the list's content",
      given: { yaml: listed({ "a/conftest.py": "1", "b/conftest.py": "2" }), tests: { "conftest.py": "2" } },
      files: { "a/conftest.py": "1", "b/conftest.py": "2" },
    },
    {
      why: "a name that only ends alike is another file",
      given: { yaml: listed({ "src/my_a.py": "1" }), tests: { "a.py": "2" } },
      files: { "src/my_a.py": "1", "tests/a.py": "2" },
    },
    {
      why: "the list as YAML",
      given: { yaml: `${base}meta:\n  test_files:\n  - {path: x/y.py, content: z}\n` },
      files: { "x/y.py": "z" },
    },
  ])("$why", ({ given, files }) => expect(places(given)).toEqual(files));

  test("bytes that are not UTF-8 survive", () => {
    const bytes = Buffer.from([0, 255, 1, 254]);
    const [file] = parse({ tests: { "image.png": bytes } }).testFiles;
    expect(file).toMatchObject({ path: "tests/image.png", encoding: "base64" });
    expect(Buffer.from(file?.content ?? "", "base64")).toEqual(bytes);
  });

  test.each(["../x", "/etc/x", "a/../../x", "a\\b", "", ".", ".git/hooks/pre-commit", "a/.GIT/config", "a\u0000"])(
    "the list names %j",
    (path) => {
      expect(() => parse({ yaml: listed({ [path]: "x" }) })).toThrow(AppError);
    },
  );
  test.each([
    { why: "twice", files: { "a.py": "1", "./a.py": "2" } },
    { why: "below another file", files: { "a.py": "1", "a.py/b": "2" } },
  ])("the list names a place $why", ({ files }) => expect(() => parse({ yaml: listed(files) })).toThrow(AppError));
});

describe("Y10 Z14 odd texts are data", () => {
  test.each([
    "$(id)",
    "-rf",
    "--help",
    "<img src=x onerror=alert(1)>",
    "a/b/c",
    "../x",
    "`id`",
    "任务 1",
    "a'b\"c;d|e",
  ])("id %j", (id) => {
    expect(parse({ yaml: `id: ${JSON.stringify(id)}\n${base}` }).taskId).toBe(id);
  });
  test.each(["EOF\n", "'\"`$(touch x)`\\", "  leading\n\n\n", "\r\n", "no newline", "ünï 😀", ""])(
    "prompt %j byte for byte",
    (prompt) => {
      expect(parse({ prompt }).prompt).toBe(prompt);
    },
  );
});

describe("refused, the task named", () => {
  test.each<{ why: string; given: Given; reason: RegExp }>([
    { why: "no repo", given: { yaml: "id: x\n" }, reason: /task "group\/one": repo is missing/ },
    { why: "bad repo", given: { yaml: "repo: ext::sh\n" }, reason: /transport helper/ },
    { why: "repo a list", given: { yaml: "repo: [a]\n" }, reason: /repo must be text/ },
    { why: "YAML a list", given: { yaml: "- a\n" }, reason: /must hold a map/ },
    { why: "YAML malformed", given: { yaml: "a: [" }, reason: /workspace.yaml is malformed/ },
    { why: "no prompt", given: { prompt: null }, reason: /no prompt; add prompt.md/ },
    { why: "prompt not UTF-8", given: { prompt: Buffer.from([255]) }, reason: /prompt.md is not valid UTF-8/ },
    { why: "id with a newline", given: { yaml: `id: "a\\nb"\n${base}` }, reason: /can't be printed/ },
    { why: "id with an override", given: { yaml: `id: "a\\u202eb"\n${base}` }, reason: /can't be printed/ },
    { why: "id too long", given: { yaml: `id: ${"x".repeat(201)}\n${base}` }, reason: /longer than 200/ },
    { why: "no id at tasks/ itself", given: { path: "" }, reason: /has no id/ },
    { why: "test_files not JSON", given: { yaml: `${base}meta: {test_files: nope}\n` }, reason: /test_files/ },
    {
      why: "test_files of another shape",
      given: { yaml: `${base}meta: {test_files: '[{"path":1}]'}\n` },
      reason: /test_files/,
    },
    {
      why: "install a map of another shape",
      given: { yaml: `${base}install: {commands: {a: b}}\n` },
      reason: /install/,
    },
    {
      why: "too many commands",
      given: { yaml: `${base}install: [${Array(201).fill("a").join(",")}]\n` },
      reason: /at most 200|install/,
    },
    {
      why: "working_dir climbs",
      given: { yaml: `${base}tests: {working_dir: ../x}\n` },
      reason: /not a folder below \/repo/,
    },
    {
      why: "working_dir elsewhere",
      given: { yaml: `${base}install: {commands: [a], working_dir: /etc}\n` },
      reason: /not a folder below \/repo/,
    },
    { why: "tests a list", given: { yaml: `${base}tests: [a]\n` }, reason: /tests must be a map/ },
    {
      why: "script not UTF-8",
      given: { tests: { "a.sh": Buffer.from([255, 10]) } },
      reason: /tests\/a.sh is not UTF-8/,
    },
  ])("$why", ({ given, reason }) => {
    let error: unknown;
    try {
      parse(given);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(AppError);
    expect((error as AppError).code).toBe("extraction_failed");
    expect((error as AppError).details.reason).toMatch(reason);
    expect((error as AppError).details.reason).toMatch(/^task "/);
  });
});
