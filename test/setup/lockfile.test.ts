/** `npm ci` refuses a lock file that leaves out a package of another platform; npm leaves them out where a mirror lacks them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}
const root = join(import.meta.dirname, "../..");
const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
  packages: Record<string, Locked>;
};

/** Whether a package installed at `place` finds `name` in its own or an outer node_modules. */
function resolves(place: string, name: string): boolean {
  for (let at = place; ; at = at.slice(0, Math.max(0, at.lastIndexOf("node_modules/") - 1))) {
    if (packages[`${at === "" ? "" : `${at}/`}node_modules/${name}`] !== undefined) return true;
    if (at === "") return false;
  }
}

test("every optional package is named, whatever its platform", () => {
  const missing = Object.entries(packages).flatMap(([place, { optionalDependencies }]) =>
    Object.keys(optionalDependencies ?? {}).filter((name) => !resolves(place, name)),
  );
  expect(missing).toEqual([]);
});

test("every package that is always installed has its integrity hash", () => {
  const bare = Object.entries(packages).filter(
    ([place, { integrity, optional }]) => place !== "" && !optional && !integrity,
  );
  expect(bare.map(([place]) => place)).toEqual([]);
});
