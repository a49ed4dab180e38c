/**
 * Files that decide how tests run: an agent's change to one is never judged, for it could make any solution pass.
 *
 * The rule. Where the reference patch or the hidden tests bring the same path, the change stands: the task itself wants it
 * there. Otherwise a protected file is left as the base has it, and the change to it is noted. It is flagged (`tampered`)
 * where it could force a pass: always for files that exist for nothing else (pytest.ini, sitecustomize.py, jest.config.js, a
 * program named like a test runner, …), and by what the change adds for files with honest uses (a conftest.py with a hook,
 * not one with a fixture; the `scripts` of package.json, not its dependencies). A deletion is undone, and never flagged.
 */
import { posix } from "node:path";
import { assertNever } from "../kernel/assert-never.ts";
import { addsAny, type Comparison, comparisons } from "./protected-content.ts";

export type Protection =
  /** restored, and flagged whatever the change is */
  | { readonly kind: "forcing" }
  /** restored and flagged where the base has no such file: a project may itself be a test runner, or hold one */
  | { readonly kind: "shadowing" }
  /** restored, and flagged where an added line matches */
  | { readonly kind: "lines"; readonly forcing: RegExp }
  /** restored and flagged where `changes` says so, otherwise part of the solution like any other file */
  | { readonly kind: "parts"; readonly changes: Comparison };

const forcing: Protection = { kind: "forcing" };
const shadowing: Protection = { kind: "shadowing" };

/** What a harmless conftest.py (imports, fixtures, helpers) has no need of. */
const conftestForce = new RegExp(
  [
    String.raw`\bpytest_\w+|_pytest|autouse|collect_ignore|\b_?exit\b|\bskip|xfail|\bexec\b|\beval\b|(?<!re\.)\bcompile\b`,
    String.raw`importlib|__(?!(?:file|name|init|main)__)\w+__|sys\.modules|(?<!monkeypatch\.)\bsetattr\b|\bgetattr\b`,
    String.raw`\bunittest\b(?!\.mock)|\.start\(|atexit|settrace|setprofile|builtins|ctypes|SystemExit`,
    String.raw`\bos\.(?!path|environ|getenv|getcwd|makedirs|mkdir|remove|listdir|sep)`,
  ].join("|"),
);

const byName: readonly (readonly [name: RegExp, protection: Protection])[] = [
  [/^\.?pytest\.ini$/, forcing],
  [/^(site|user)customize\.(py|pyc|so)$/, forcing],
  [/\.pth$/, forcing],
  [/^(jest|vitest|karma|ava|playwright|cypress)\.(config|conf|workspace)\.[a-z.]+$/, forcing],
  [/^\.(mocharc|jestrc|taprc|rspec|noserc)(\.[a-z]+)?$/, forcing],
  [/^(nextest\.toml|nose\.cfg|phpunit\.xml(\.dist)?|ld\.so\.preload)$/, forcing],
  [/^\.(bashrc|bash_profile|bash_login|bash_env|bash_aliases|profile|zshrc|zshenv|zprofile|envrc|pdbrc)$/, forcing],
  [/^conftest\.py[co]?$/, { kind: "lines", forcing: conftestForce }],
  [/^\.npmrc$/, { kind: "lines", forcing: /shell|node-options|prefix/i }],
  [/^package\.json$/, { kind: "parts", changes: comparisons.packageJson }],
  [/^pyproject\.toml$/, { kind: "parts", changes: comparisons.pytestSections }],
  [/^setup\.cfg$/, { kind: "parts", changes: comparisons.pytestSections }],
  [/^tox\.ini$/, { kind: "parts", changes: comparisons.toxSections }],
  [/^Cargo\.toml$/, { kind: "parts", changes: addsAny(/\b(harness|autotests|doctest|test)\s*=/) }],
  [/_test\.go$/, { kind: "parts", changes: addsAny(/\bfunc\s+TestMain\s*\(/) }],
  [/^vite\.config\.[a-z.]+$/, { kind: "parts", changes: addsAny(/vitest|\btest\b|setupFiles|globalSetup/) }],
];

const runners =
  "pytest|py\\.test|_pytest|pluggy|iniconfig|unittest|nose2?|tox|jest|jest-cli|@jest|mocha|vitest|@vitest|ava|tap|karma";
/** Test tools that install brought into the workspace. */
const installedTool = new RegExp(
  `(^|/)(node_modules/(\\.bin/)?|(site|dist)-packages/)(${runners})([./-]|$)|(^|/)(site|user)customize/`,
);
/** Modules that Python finds in the folder it runs in before the real ones. */
const shadowingModule = /^(pytest|_pytest|pluggy|iniconfig|unittest|nose|nose2|tox)(\.py|\.so|\.pyc|\/.*)$/;
/** Programs that a shell would find first if PATH were led here. */
const toolProgram = new RegExp(
  `^(${runners}|python|python3|node|npm|npx|yarn|pnpm|tsx|go|cargo|rustc|bash|sh|git|ruby|grep)$`,
);

export interface ProtectedPath {
  readonly path: string;
  /** a program or a link: something that a shell would run */
  readonly isProgram: boolean;
}

export interface ProtectionContext {
  /** folders below /repo that judging commands run in, `.` for the root */
  readonly judgeFolders: readonly string[];
  /** folders of virtual environments that the change itself brings: what every one of them holds is no cheat */
  readonly newVenvs: readonly string[];
}

/** How a path is protected; undefined: it is a part of the solution like any other. */
export function protectionOf(file: ProtectedPath, context: ProtectionContext): Protection | undefined {
  const { path } = file;
  if (context.newVenvs.some((folder) => belongsToVenv(path, folder))) return undefined;
  const name = posix.basename(path);
  const named = byName.find(([pattern]) => pattern.test(name))?.[1];
  if (named !== undefined) return named;
  if (installedTool.test(path) || /(^|\/)\.cargo\/config(\.toml)?$/.test(path)) return forcing;
  if (file.isProgram && toolProgram.test(name)) return shadowing;
  const isShadow = context.judgeFolders.some((folder) => {
    const inside = folder === "." ? path : path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : "";
    return shadowingModule.test(inside);
  });
  return isShadow ? shadowing : undefined;
}

/** `python -m venv` makes links called python and a .pth file of its own; at the repository's root none is believed. */
function belongsToVenv(path: string, folder: string): boolean {
  if (folder === "." || folder === "" || !path.startsWith(`${folder}/`)) return false;
  return /^(bin\/|lib\/python[\d.]+\/site-packages\/|lib64(\/|$)|include\/)/.test(path.slice(folder.length + 1));
}

/** What a change to a protected file comes to. `base` is undefined where the base has no such file. */
export function judgeProtected(
  protection: Protection,
  base: string | undefined,
  now: string,
): "part" | "restored" | "flagged" {
  switch (protection.kind) {
    case "forcing":
      return "flagged";
    case "shadowing":
      return base === undefined ? "flagged" : "part";
    case "lines":
      return addsAny(protection.forcing)(base ?? "", now) ? "flagged" : "restored";
    case "parts":
      return protection.changes(base ?? "", now) ? "flagged" : "part";
    default:
      return assertNever(protection);
  }
}

/** The paths that a diff names, on both sides. Read leniently: it only widens what an agent may change. */
export function pathsOfDiff(diff: string): ReadonlySet<string> {
  const paths = new Set<string>();
  for (const line of diff.split("\n")) {
    const header =
      /^(?:---|\+\+\+) (?:"?[ab]\/)(.+?)"?(?:\t.*)?\r?$/.exec(line) ?? /^rename (?:from|to) (.+?)\r?$/.exec(line);
    if (header?.[1] !== undefined) paths.add(header[1]);
    const both = /^diff --git a\/(.+) b\/\1\r?$/.exec(line);
    if (both?.[1] !== undefined) paths.add(both[1]);
  }
  return paths;
}
