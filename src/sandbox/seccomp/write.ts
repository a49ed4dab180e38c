/** `node src/sandbox/seccomp/write.ts`: writes the generated filters and the README's table after a rule was changed. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generateSeccomp, seccompTable, seccompText } from "./generate.ts";
import { everywhere } from "./rule.ts";

const folder = join(import.meta.dirname, "../../../sandbox-profiles");
for (const name of everywhere) {
  writeFileSync(join(folder, `seccomp/${name}.json`), seccompText(generateSeccomp(name)));
}
const readme = join(folder, "README.md");
const parts = readFileSync(readme, "utf8").split(/(<!-- seccomp: generated -->|<!-- seccomp: end -->)/);
parts[2] = `\n\n${seccompTable()}\n\n`;
writeFileSync(readme, parts.join(""));
