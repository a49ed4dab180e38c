/**
 * The house as a test: which room may import which, which third-party package lives where, how long a file may be, and
 * what no committed file may name. `docs/ARCHITECTURE.md` says why.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { builtinModules } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");
const src = join(root, "src");

/** From the outside in: a file may import its own room, and rooms of later lines. */
const order: readonly (readonly string[])[] = [
  ["main"],
  ["compose", "setup"],
  ["api", "cli"],
  ["scheduling"],
  ["evaluation"],
  ["sandbox", "archive", "admission"],
  ["journal"],
  ["store"],
  ["telemetry"],
  ["config", "version"],
  ["kernel"],
];

/** Rooms on one line don't know each other, but for these files of types, and why. */
const neighbours: readonly { readonly from: string; readonly file: string; readonly why: string }[] = [
  { from: "admission", file: "archive/submission.ts", why: "a vote is for a submission: its plain data" },
  { from: "archive", file: "admission/port.ts", why: "intake asks the ballots' port before it reads an archive" },
];

/** Third-party packages and the folders they live in. */
const homes: Readonly<Record<string, readonly string[]>> = {
  dockerode: ["sandbox/docker", "setup"],
  "@polkadot/api": ["admission/bittensor"],
  "@polkadot/util-crypto": ["admission"],
  hono: ["api"],
  "@hono/node-server": ["api"],
  ws: ["api"],
  kysely: ["store", "admission", "journal", "scheduling", "evaluation", "api"],
  pg: ["store"],
  "@electric-sql/pglite": ["store"],
  "pg-boss": ["scheduling"],
  "adm-zip": ["archive"],
  yauzl: ["archive"],
  tar: ["archive"],
  "tar-stream": ["archive", "evaluation", "sandbox"],
  "@fastify/busboy": ["archive"],
  yaml: ["archive"],
  "prom-client": ["telemetry"],
  pino: ["telemetry"],
  commander: ["cli", "setup"],
  valibot: ["*"],
  "p-limit": ["*"],
};

const LINES_MAX = 400;

interface Import {
  readonly file: string;
  readonly specifier: string;
}

const sources = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(ts|mjs)$/.test(name))
  .map((name) => name.replaceAll("\\", "/"));

function importsOf(file: string): readonly Import[] {
  const text = readFileSync(join(src, file), "utf8").replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const pattern =
    /(?:^|[;\s])(?:import|export)\s[^;"']*?from\s*["']([^"']+)["']|import\s*\(\s*["']([^"']+)["']\s*\)|^import\s*["']([^"']+)["']/gm;
  return [...text.matchAll(pattern)].map(([, from, dynamic, bare]) => ({
    file,
    specifier: from ?? dynamic ?? bare ?? "",
  }));
}

const imports = sources.flatMap(importsOf);
const roomOf = (file: string) => (file.split("/")[0] ?? "").replace(/\.ts$/, "");
const rankOf = (room: string) => order.findIndex((line) => line.includes(room));
const packageOf = (specifier: string) =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

test("every room has its place in the order", () => {
  const unknown = [...new Set(sources.map(roomOf))].filter((room) => rankOf(room) === -1);
  expect(unknown, "name the room in `order`, here and in docs/ARCHITECTURE.md").toEqual([]);
});

test("rooms import only themselves and rooms further along", () => {
  const offences = imports
    .filter(({ specifier }) => specifier.startsWith("."))
    .flatMap(({ file, specifier }) => {
      const target = relative(src, resolve(dirname(join(src, file)), specifier));
      if (target.startsWith(".."))
        return target === "../package.json" ? [] : [`${file} → ${specifier} (outside of src)`];
      const [from, to] = [roomOf(file), roomOf(target)];
      const isAllowed =
        from === to ||
        rankOf(from) < rankOf(to) ||
        neighbours.some((pair) => pair.from === from && pair.file === target);
      return isAllowed ? [] : [`${file} → ${target}`];
    });
  expect(offences).toEqual([]);
});

test("every import of ours names a file that is there", () => {
  const missing = imports
    .filter(({ specifier }) => specifier.startsWith("."))
    .filter(({ file, specifier }) => !existsSync(resolve(dirname(join(src, file)), specifier)));
  expect(missing).toEqual([]);
});

test("each third-party package lives in its room", () => {
  const offences = imports
    .filter(({ specifier }) => !specifier.startsWith(".") && !specifier.startsWith("node:"))
    .flatMap(({ file, specifier }) => {
      const name = packageOf(specifier);
      const allowed = homes[name];
      if (allowed === undefined) return [`${file}: ${name} has no home yet`];
      const isHome = allowed.includes("*") || allowed.some((folder) => file.startsWith(`${folder}/`));
      return isHome ? [] : [`${file}: ${name} lives in ${allowed.join(", ")}`];
    });
  expect(offences).toEqual([]);
});

test("Node's own modules are imported by their node: name", () => {
  const offences = imports.filter(({ specifier }) => builtinModules.includes(packageOf(specifier)));
  expect(offences).toEqual([]);
});

test("every dependency of package.json is used, and no other", () => {
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const used = new Set(
    imports.map(({ specifier }) => packageOf(specifier)).filter((name) => homes[name] !== undefined),
  );
  expect(
    [...used].sort().filter((name) => dependencies[name] === undefined),
    "imported, not in package.json",
  ).toEqual([]);
  const unused = Object.keys(dependencies).filter((name) => !used.has(name));
  expect(unused, "in package.json, never imported").toEqual([]);
});

test("versions are exact: a build tomorrow is the build of today", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<
    string,
    Record<string, string>
  >;
  const loose = [manifest.dependencies, manifest.devDependencies].flatMap((list) =>
    Object.entries(list ?? {}).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
  );
  expect(loose).toEqual([]);
});

const committed = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\0")
  .filter((name) => name !== "" && existsSync(join(root, name)) && statSync(join(root, name)).isFile());

test("files are short enough to be read in one sitting", () => {
  const code = committed.filter((name) => /^(src|test|bench|images)\/.*\.(ts|mjs|c|h|js)$/.test(name));
  const counted = code.map((name) => ({ name, lines: readFileSync(join(root, name), "utf8").split("\n").length - 1 }));
  expect(counted.filter(({ lines }) => lines > LINES_MAX)).toEqual([]);
  const lengths = counted
    .filter(({ name }) => name.startsWith("src/"))
    .map(({ lines }) => lines)
    .sort((a, b) => a - b);
  expect(lengths[Math.floor(lengths.length * 0.9)], "nine in ten are under 250 lines").toBeLessThan(250);
});

test("no committed file names a path of the machine it was written on, or a secret", () => {
  const forbidden: readonly { readonly pattern: RegExp; readonly why: string }[] = [
    { pattern: new RegExp(["/work", "(main|shared)"].join("/")), why: "a path of the workplace" },
    { pattern: new RegExp(["/tmp", "w/"].join("/")), why: "a scratch path" },
    { pattern: /\/home\/(?!user\b|example\b)[a-z]\w*\//, why: "somebody's home folder" },
    { pattern: /-----BEGIN [A-Z ]*PRIVATE KEY-----/, why: "a private key" },
    { pattern: /\bgh[pousr]_[A-Za-z0-9]{30,}/, why: "a token" },
    { pattern: new RegExp(["registry", "npmjs"].join("\\.")), why: "a registry's host" },
  ];
  const text = committed.filter((name) => !/\.(png|gif|ico|zip|gz|wasm|scale)$/.test(name));
  const offences = text.flatMap((name) => {
    const content = readFileSync(join(root, name), "utf8");
    return forbidden.filter(({ pattern }) => pattern.test(content)).map(({ why }) => `${name}: ${why}`);
  });
  expect(offences).toEqual([]);
});

test("nothing is left for later: no marker, no disabled or lonely test", () => {
  const marker = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|")})\\b`);
  const lonely = /\b(?:test|it|describe)\.(?:only|todo)\(/;
  const code = committed.filter((name) => /^(src|test|bench)\/.*\.(ts|mjs)$/.test(name));
  const offences = code.filter((name) => {
    const content = readFileSync(join(root, name), "utf8");
    return marker.test(content) || lonely.test(content);
  });
  expect(offences).toEqual([]);
});
