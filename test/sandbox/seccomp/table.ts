/**
 * The committed table of answers. A cell is what a profile answers: `allowed` (then the kernel's own answer, the same as
 * without a filter), an errno, a signal, or several with `/` where engines of different age differ.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ProfileName } from "../../../src/sandbox/profiles.ts";

export interface Row {
  readonly name: string;
  readonly answers: Readonly<Record<ProfileName, readonly string[]>>;
}

const [head = "", ...lines] = readFileSync(join(import.meta.dirname, "../probe-table/answers.tsv"), "utf8")
  .trimEnd()
  .split("\n");
if (head !== "name\tstrict\tbuild\tparanoid") throw new Error(`answers.tsv begins with ${head}`);

export const table: readonly Row[] = lines.map((line) => {
  const [name = "", strict = "", build = "", paranoid = ""] = line.split("\t");
  return { name, answers: { strict: strict.split("/"), build: build.split("/"), paranoid: paranoid.split("/") } };
});
