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
const isMap = (value: unknown): value is object => typeof value === "object" && value !== null && !Array.isArray(value);

/** Data sets also write a list as JSON text; any other text is one command. */
function listOf(value: string): readonly unknown[] {
  if (isNull(value)) return [];
  if (!value.trimStart().startsWith("[")) return [value];
  try {
    const parsed: unknown = JSON.parse(value);
    return Array.isArray(parsed) ? parsed : [value];
  } catch {
    return [value];
  }
}

/** A list of commands, or one command; blank ones are left out. */
const commandList = v.pipe(
  v.unknown(),
  v.transform((value) => (typeof value === "string" ? listOf(value) : value)),
  v.array(command, "must be a list of texts"),
  v.maxLength(limits.commandsMax, `must have at most ${limits.commandsMax} commands`),
  v.transform((list) => list.filter((one) => one.trim() !== "")),
);
const commands = v.optional(commandList);
/** A map; what is written as nothing (`key:`) counts as absent. */
const map = <T extends v.ObjectEntries>(entries: T) =>
  v.optional(
    v.pipe(
      v.unknown(),
      v.transform((value) => (typeof value === "string" && isNull(value) ? undefined : value)),
      v.optional(v.pipe(v.custom<object>(isMap, "must be a map"), v.object(entries))),
    ),
  );

const tools = Object.fromEntries(TOOLS.flatMap((tool) => [tool, `${tool}_version`].map((key) => [key, short]))) as {
  readonly [key in (typeof TOOLS)[number]]: typeof short;
};

const listed = v.array(
  v.object({ path: v.string("must be text"), content: v.string("must be text") }, "must hold {path, content}"),
  "must be a list of {path, content}",
);
const listedAsText = v.pipe(
  v.string("must be JSON text"),
  v.transform((value) => (isNull(value) ? "[]" : value)),
  v.parseJson(undefined, "must be JSON text"),
  listed,
);
const testFiles = v.optional(v.lazy((value) => (Array.isArray(value) ? listed : listedAsText)));

const nestedRepo = v.object({ url: v.optional(v.string("must be text")), base_commit: text(500) });
const nestedInstall = v.object({ commands, working_dir: short });
const nestedTests = map({ fail_to_pass: commands, pass_to_pass: commands, working_dir: short });
const nestedEnvironment = v.fallback(v.object({ language: short, ...tools }), {});

const shape = v.object({
  id: text(2_000),
  task_id: text(2_000),
  prompt: text(limits.promptBytesMax),
  language: short,
  difficulty: short,
  difficulty_score: short,
  patch: text(limits.yamlBytesMax),
  repo: v.optional(v.lazy((value) => (isMap(value) ? nestedRepo : v.string("must be text or {url, base_commit}")))),
  base_commit: text(500),
  install: v.optional(v.lazy((value) => (isMap(value) ? nestedInstall : commandList))),
  install_config: map({ install: commands, ...tools }),
  fail_to_pass: commands,
  pass_to_pass: commands,
  tests: nestedTests,
  environment: v.optional(v.unknown()),
  meta: map({ difficulty: short, test_files: testFiles }),
});

export type WorkspaceResult = { readonly workspace: Workspace } | { readonly problem: string };

/** @returns the workspace, or the first problem with its key */
export function parseWorkspace(value: YamlValue): WorkspaceResult {
  if (typeof value === "string" || Array.isArray(value)) return { problem: "must hold a map of keys" };
  const parsed = v.safeParse(shape, value, { abortEarly: true, abortPipeEarly: true });
  if (!parsed.success) return { problem: issueText(parsed.issues[0]) };
  const y = parsed.output;
  const repo = typeof y.repo === "object" ? y.repo : { url: y.repo, base_commit: undefined };
  const install = Array.isArray(y.install) ? { commands: y.install, working_dir: undefined } : y.install;
  const environment = v.parse(nestedEnvironment, y.environment);
  const config = y.install_config;
  return {
    workspace: {
      repo: (repo.url ?? "").trim(),
      install: nonEmpty(install?.commands) ?? config?.install ?? [],
      toolVersions: versionsOf({ ...environment, ...config }),
      failToPass: y.fail_to_pass ?? y.tests?.fail_to_pass ?? [],
      passToPass: y.pass_to_pass ?? y.tests?.pass_to_pass ?? [],
      listedFiles: y.meta?.test_files ?? [],
      ...present({
        id: y.id ?? y.task_id,
        baseCommit: (y.base_commit ?? repo.base_commit)?.trim(),
        prompt: y.prompt,
        language: y.language ?? environment.language,
        difficulty: y.difficulty ?? y.meta?.difficulty ?? y.difficulty_score,
        installDir: install?.working_dir,
        testsDir: y.tests?.working_dir,
        patch: y.patch,
      }),
    },
  };
}

function nonEmpty(list: readonly string[] | undefined): readonly string[] | undefined {
  return list === undefined || list.length === 0 ? undefined : list;
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
  const path = issue.path?.map((item) => String(item.key)).join(".") ?? "";
  return `${path}${path === "" ? "" : " "}${issue.message}`.slice(0, 200);
}
