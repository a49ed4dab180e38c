/** What, within a file that also has honest uses, decides how tests run. Text in, boolean out; never throws. */

/** Whether a change from `base` to `now` touches what is protected. */
export type Comparison = (base: string, now: string) => boolean;

/** True where a line that the base does not have matches. */
export function addsAny(pattern: RegExp): Comparison {
  return (base, now) => {
    const known = new Set(base.split(/\r?\n/).map((line) => line.trim()));
    return now.split(/\r?\n/).some((line) => !known.has(line.trim()) && pattern.test(line));
  };
}

/** The parts of package.json that runners read as their configuration. */
const runnerKeys = ["jest", "mocha", "vitest", "ava", "tap", "nyc", "c8"];

/**
 * Dependencies, versions and new scripts of other names are a solution's own matter. A script that the base has, one of a
 * test's name, and what npm runs before or after such a script, are not.
 */
function packageJson(base: string, now: string): boolean {
  const [before, after] = [objectOf(base), objectOf(now)];
  if (after === undefined) return false;
  if (runnerKeys.some((key) => JSON.stringify(before?.[key]) !== JSON.stringify(after[key]))) return true;
  const [scriptsBefore, scriptsAfter] = [recordOf(before?.scripts), recordOf(after.scripts)];
  const isGuarded = (name: string) => {
    const plain = name.replace(/^(pre|post)/, "");
    return Object.hasOwn(scriptsBefore, name) || Object.hasOwn(scriptsBefore, plain) || /^test\b/.test(plain);
  };
  return Object.entries(scriptsAfter).some(([name, line]) => isGuarded(name) && scriptsBefore[name] !== line);
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

/**
 * The lines of an INI or TOML file that matter: those of sections whose header matches, and others that match by
 * themselves (a dotted key, an inline table). An escape in a header or key could spell anything, so it matters too.
 */
function relevantLines(text: string, pattern: RegExp): string[] {
  let isInside = false;
  const lines: string[] = [];
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#") || line.startsWith(";")) continue;
    const header = /^\[+([^\]]*)\]/.exec(line)?.[1];
    if (header !== undefined) isInside = matters(header, pattern);
    const key = /^([^=]*)=\s*(.*)$/.exec(line);
    const standsAlone = key !== null && (matters(key[1] ?? "", pattern) || inlineTable(key[2] ?? "", pattern));
    if (isInside || standsAlone) lines.push(line);
  }
  return lines;
}

function matters(name: string, pattern: RegExp): boolean {
  return name.includes("\\") || pattern.test(name.replace(/["'\s]/g, ""));
}

function inlineTable(value: string, pattern: RegExp): boolean {
  return value.startsWith("{") && matters(value, pattern);
}

function sections(pattern: RegExp): Comparison {
  return (base, now) => relevantLines(base, pattern).join("\n") !== relevantLines(now, pattern).join("\n");
}

export const comparisons = {
  packageJson,
  /** pytest's own, and the entry points by which a plugin is loaded */
  pytestSections: sections(
    /^(tool[.:])?(pytest|tox|nose|nosetests|aliases)\b|ini_options|entry[-_]points.*pytest|^pytest11$/,
  ),
  toxSections: sections(/^(pytest|tox|testenv)/),
} as const;
