/** `workspace.yaml`: two dialects in, one shape out. Values are text (failsafe YAML); unknown keys are ignored. */
import * as v from "valibot";
import { limits } from "../../kernel/limits.ts";
import type { YamlValue } from "./yaml.ts";

/** What either dialect says, before repository, places and judges are worked out. */
export interface Workspace {
  readonly id?: string;
  readonly repo: string;
  readonly baseCommit?: string;
  readonly prompt?: string;
  readonly language?: string;
  readonly difficulty?: string;
  readonly install: readonly string[];
  readonly installDir?: string;
  readonly testsDir?: string;
  readonly toolVersions: Readonly<Record<string, string>>;
  readonly failToPass: readonly string[];
  readonly passToPass: readonly string[];
  readonly patch?: string;
  readonly listedFiles: readonly ListedFile[];
}

/** One entry of `meta.test_files`. */
export interface ListedFile {
  readonly path: string;
  readonly content: string;
}

const TOOLS = ["python", "node", "go", "rust", "java"] as const;
const isNull = (value: string) => /^(~|null|Null|NULL)?$/.test(value.trim());

/** Absent, empty and null mean the same. */
const text = (charsMax: number) =>
  v.optional(
    v.pipe(
      v.string("must be text"),
      v.maxLength(charsMax, `must have at most ${charsMax} characters`),
      v.transform((value) => (isNull(value) ? undefined : value)),
    ),
  );
const short = text(200);
const command = v.pipe(
  v.string("must be a list of texts"),
  v.check(
    (value) => Buffer.byteLength(value) <= limits.commandBytesMax,
    `has a command above ${limits.commandBytesMax} bytes`,
  ),
);
/** A list of commands, or one command; blank ones are left out. */
const commands = v.optional(
  v.pipe(
    v.union(
      [
        v.array(command),
        v.pipe(
          command,
          v.transform((one) => (isNull(one) ? [] : [one])),
        ),
      ],
      "must be a list of texts",
    ),
    v.maxLength(limits.commandsMax, `must have at most ${limits.commandsMax} commands`),
    v.transform((list) => list.filter((one) => one.trim() !== "")),
  ),
);
/** A map; what is written as nothing (`key:`) counts as an empty one. */
const map = <T extends v.ObjectEntries>(entries: T) =>
  v.optional(
    v.union(
      [
        v.object(entries),
        v.pipe(
          v.string(),
          v.check(isNull),
          v.transform(() => undefined),
        ),
      ],
      "must be a map",
    ),
  );

const tools = Object.fromEntries(TOOLS.flatMap((tool) => [tool, `${tool}_version`].map((key) => [key, short]))) as {
  readonly [key in (typeof TOOLS)[number]]: typeof short;
};

const listed = v.array(
  v.object({ path: v.string("must be text"), content: v.string("must be text") }, "must hold {path, content}"),
  "must be a list of {path, content}",
);
const testFiles = v.optional(
  v.union([
    listed,
    v.pipe(
      v.string("must be JSON text"),
      v.transform((value) => (isNull(value) ? "[]" : value)),
      v.parseJson(undefined, "must be JSON text"),
      listed,
    ),
  ]),
);

const common = {
  id: text(2_000),
  task_id: text(2_000),
  prompt: text(limits.promptBytesMax),
  language: short,
  difficulty: short,
  difficulty_score: short,
  patch: text(limits.yamlBytesMax),
  install_config: map({ install: commands, ...tools }),
  meta: map({ difficulty: short, test_files: testFiles }),
};

const shape = v.object({
  ...common,
  repo: v.optional(
    v.union(
      [v.string(), v.object({ url: v.optional(v.string()), base_commit: text(500) })],
      "must be text or {url, base_commit}",
    ),
  ),
  base_commit: text(500),
  install: v.optional(
    v.union(
      [v.array(command), command, v.object({ commands, working_dir: short })],
      "must be a list of texts, or {commands, working_dir}",
    ),
  ),
  fail_to_pass: commands,
  pass_to_pass: commands,
  tests: v.optional(v.unknown()),
  environment: v.optional(v.unknown()),
});
const nestedTests = map({ fail_to_pass: commands, pass_to_pass: commands, working_dir: short });
const nestedEnvironment = v.fallback(v.object({ language: short, ...tools }), {});

export type WorkspaceResult = { readonly workspace: Workspace } | { readonly problem: string };

/** @returns the workspace, or the first problem with its key */
export function parseWorkspace(value: YamlValue): WorkspaceResult {
  if (typeof value === "string" || Array.isArray(value)) return { problem: "must hold a map of keys" };
  const parsed = v.safeParse(shape, value, { abortEarly: true, abortPipeEarly: true });
  if (!parsed.success) return { problem: issueText(parsed.issues[0]) };
  const y = parsed.output;
  const tests = v.safeParse(nestedTests, y.tests, { abortEarly: true });
  if (!tests.success) return { problem: `tests.${issueText(tests.issues[0])}` };
  const repo = typeof y.repo === "object" ? y.repo : { url: y.repo, base_commit: undefined };
  const install = typeof y.install === "object" && !Array.isArray(y.install) ? y.install : undefined;
  const environment = v.parse(nestedEnvironment, y.environment);
  const config = y.install_config;
  return {
    workspace: {
      repo: (repo.url ?? "").trim(),
      install: install?.commands ?? commandList(y.install) ?? config?.install ?? [],
      toolVersions: versionsOf({ ...environment, ...config }),
      failToPass: y.fail_to_pass ?? tests.output?.fail_to_pass ?? [],
      passToPass: y.pass_to_pass ?? tests.output?.pass_to_pass ?? [],
      listedFiles: y.meta?.test_files ?? [],
      ...present({
        id: y.id ?? y.task_id,
        baseCommit: (y.base_commit ?? repo.base_commit)?.trim(),
        prompt: y.prompt,
        language: y.language ?? environment.language,
        difficulty: y.difficulty ?? y.meta?.difficulty ?? y.difficulty_score,
        installDir: install?.working_dir,
        testsDir: tests.output?.working_dir,
        patch: y.patch,
      }),
    },
  };
}

function commandList(value: unknown): readonly string[] | undefined {
  if (typeof value === "string") return isNull(value) ? undefined : [value];
  if (!Array.isArray(value)) return undefined;
  const list = (value as readonly string[]).filter((one) => one.trim() !== "");
  return list.length === 0 ? undefined : list;
}

function versionsOf(source: Readonly<Record<string, unknown>>): Record<string, string> {
  const versions: Record<string, string> = {};
  for (const tool of TOOLS) {
    const version = source[tool] ?? source[`${tool}_version`];
    if (typeof version === "string") versions[tool] = version;
  }
  return versions;
}

function present<T extends Record<string, string | undefined>>(fields: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: string;
  };
}

function issueText(issue: v.BaseIssue<unknown>): string {
  const nested = issue.path === undefined && issue.issues !== undefined ? issue.issues[0] : undefined;
  if (nested !== undefined) return issueText(nested);
  const path = issue.path?.map((item) => String(item.key)).join(".") ?? "";
  return `${path}${path === "" ? "" : " "}${issue.message}`.slice(0, 200);
}
