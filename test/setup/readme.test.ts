import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readReadme, withGenerated } from "../../src/setup/readme.ts";

const root = join(import.meta.dirname, "../..");

test("the README's tables are those of the code (npm run readme writes them)", () => {
  expect(readReadme()).toBe(withGenerated(readReadme()));
});

test.for(["README.md", "docs/ARCHITECTURE.md", "CHANGELOG.md"])("%s links only to what is there", (name) => {
  const text = readFileSync(join(root, name), "utf8");
  const targets = [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, target = ""]) => target);
  expect(targets.filter((target) => !existsSync(join(root, name, "..", target)))).toEqual([]);
});

test("every npm script that the documents name exists", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const text = ["README.md", "docs/ARCHITECTURE.md"].map((name) => readFileSync(join(root, name), "utf8")).join("\n");
  const named = [...text.matchAll(/npm run ([\w:-]+)/g)].map(([, script = ""]) => script);
  expect(named.filter((script) => scripts[script] === undefined)).toEqual([]);
});
