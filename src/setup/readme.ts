/** The tables of the README that the code knows better: `npm run readme` writes them, a test holds them. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { exitCodes } from "../cli/exit-codes.ts";
import { settings } from "../config.ts";
import { packageRoot } from "./paths.ts";

const file = join(packageRoot, "README.md");

const cell = (text: string) => text.replaceAll("|", "\\|");

/** Every setting with its default, in the order of `settings`. */
export function configurationTable(): string {
  const rows = Object.entries(settings).map(([name, { fallback, help }]) => {
    const shown = fallback === "" ? "" : `\`${fallback}\``;
    return `| \`${name}\` | ${cell(shown)} | ${cell(help)} |`;
  });
  return ["| setting | default | what it is |", "|---|---|---|", ...rows].join("\n");
}

/** Every exit code with its meaning. */
export function exitCodeTable(): string {
  const rows = Object.values(exitCodes).map(({ code, means }) => `| ${code} | ${cell(means)} |`);
  return ["| code | meaning |", "|---|---|", ...rows].join("\n");
}

/** `readme` with what stands between the markers made anew. @throws Error where a marker is missing */
export function withGenerated(readme: string): string {
  const parts = { configuration: configurationTable(), "exit codes": exitCodeTable() };
  return Object.entries(parts).reduce((text, [name, table]) => {
    const [begin, end] = [`<!-- generated: ${name} -->`, `<!-- end: ${name} -->`];
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    if (from === -1 || to < from) throw new Error(`README.md lacks the markers ${begin} and ${end}`);
    return `${text.slice(0, from + begin.length)}\n${table}\n${text.slice(to)}`;
  }, readme);
}

export function readReadme(): string {
  return readFileSync(file, "utf8");
}

if (import.meta.main) writeFileSync(file, withGenerated(readReadme()));
