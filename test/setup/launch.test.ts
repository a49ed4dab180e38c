/** The launcher, run as a newcomer's shell runs it: in a checkout that has nothing yet, and in one that has all. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

const launcher = join(import.meta.dirname, "../../src/setup/launch.mjs");
let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "proctor-launch-"));
  mkdirSync(join(root, "src/setup"), { recursive: true });
  cpSync(launcher, join(root, "src/setup/launch.mjs"));
  writeFileSync(join(root, "package.json"), '{"name":"x","type":"module"}');
  lock("sha512-a");
  writeFileSync(
    join(root, "src/main.ts"),
    "const words: string[] = process.argv.slice(2); console.log('main', ...words);",
  );
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function lock(integrity: string): void {
  const native = { integrity, optional: true, os: [process.platform], cpu: [process.arch] };
  const packages = {
    "node_modules/native": native,
    "node_modules/foreign": { ...native, cpu: ["pdp11"] },
    "": {},
    "node_modules/a": { integrity },
    "node_modules/b": { integrity, optional: true },
  };
  writeFileSync(join(root, "package-lock.json"), JSON.stringify({ packages }));
}

function install(integrity: string, native = true): void {
  mkdirSync(join(root, "node_modules"), { recursive: true });
  writeFileSync(
    join(root, "node_modules/.package-lock.json"),
    JSON.stringify({
      packages: { "node_modules/a": { integrity }, ...(native ? { "node_modules/native": { integrity } } : {}) },
    }),
  );
}

/** A PATH with a `node` of the given version and an `npm` that writes down how it was called. */
function fakePath(nodeVersion?: string): string {
  const bin = join(root, "bin");
  mkdirSync(bin, { recursive: true });
  const program = (name: string, text: string) => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  program("npm", `echo "$@" >> "${root}/npm-calls"; echo "no network here" >&2; exit 1`);
  if (nodeVersion !== undefined)
    program("node", `[ "$1" = --version ] && echo ${nodeVersion} || echo "new node runs: $@"`);
  return bin;
}

function launch(args: readonly string[], options: { path?: string; pretend?: string } = {}) {
  // An old Node is played by ours that says another version before the launcher asks.
  const before =
    options.pretend === undefined
      ? []
      : [
          "--import",
          `data:text/javascript,${encodeURIComponent(`Object.defineProperty(process,"version",{value:"${options.pretend}"})`)}`,
        ];
  const ran = spawnSync(process.execPath, [...before, join(root, "src/setup/launch.mjs"), ...args], {
    encoding: "utf8",
    env: { PATH: options.path ?? "/nowhere" },
    cwd: tmpdir(),
  });
  return { code: ran.status, out: ran.stdout, err: ran.stderr };
}

test("with a new Node and the packages it runs the program in the same process", () => {
  install("sha512-a");
  expect(launch(["serve", "--port", "1"])).toMatchObject({ code: 0, out: "main serve --port 1\n", err: "" });
});

test.for([
  {
    why: "packages are missing",
    installed: undefined,
    pretend: undefined,
    says: /missing: the packages of package-lock.json; run "npm run setup"/,
  },
  {
    why: "packages are those of another lock file",
    installed: "sha512-b",
    pretend: undefined,
    says: /missing: the packages/,
  },
  {
    why: "Node is too old",
    installed: "sha512-a",
    pretend: "v20.1.0",
    says: /missing: Node ≥ 24 \(this one is v20.1.0\)/,
  },
  { why: "both", installed: undefined, pretend: "v20.1.0", says: /Node ≥ 24 .* and the packages/ },
])("says what is missing and brings nothing for serve: $why", ({ installed, pretend, says }) => {
  if (installed !== undefined) install(installed);
  const { code, err, out } = launch(["serve"], pretend === undefined ? {} : { pretend });
  expect(code).toBe(4);
  expect(err).toMatch(says);
  expect(out).toBe("");
});

test("a native package of this platform that an old npm left out counts as missing", () => {
  install("sha512-a", false);
  expect(launch(["serve"])).toMatchObject({ code: 4, err: expect.stringContaining("missing: the packages") });
});

test("under an old Node it hands over to a new one on PATH", () => {
  install("sha512-a");
  const { code, out } = launch(["pack", "x"], { path: fakePath("v25.0.0"), pretend: "v20.1.0" });
  expect(code).toBe(0);
  expect(out).toBe(`new node runs: ${join(root, "src/main.ts")} pack x\n`);
});

test("set-up that can't bring packages says what npm said", () => {
  const { code, err } = launch(["setup"], { path: fakePath() });
  expect(code).toBe(4);
  expect(err).toMatch(/"npm ci --ignore-scripts" failed \(1\):\nno network here\nnext:/);
});

test("asking for help installs nothing", () => {
  const { code, err } = launch(["setup", "--help"], { path: fakePath() });
  expect(code).toBe(4);
  expect(err).toMatch(/missing: the packages/);
});

test("set-up links the command for npx", () => {
  install("sha512-a");
  launch(["setup"]);
  const ran = spawnSync(join(root, "node_modules/.bin/proctor"), ["x"], {
    encoding: "utf8",
    env: { PATH: join(process.execPath, "..") },
  });
  expect(ran.stdout).toBe("main x\n");
});

test("signals and endings pass through the hand-over", async () => {
  install("sha512-a");
  const bin = fakePath();
  symlinkSync(process.execPath, join(bin, "node"));
  writeFileSync(
    join(root, "src/main.ts"),
    "process.on('SIGTERM', () => process.exit(7)); console.log('up'); setInterval(() => {}, 1000);",
  );
  const pretend = `data:text/javascript,${encodeURIComponent('if(!process.argv[1].endsWith("main.ts"))Object.defineProperty(process,"version",{value:"v20.0.0"})')}`;
  const child = spawn(process.execPath, ["--import", pretend, join(root, "src/setup/launch.mjs"), "serve"], {
    env: { PATH: bin },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  child.kill("SIGTERM");
  const [code] = await once(child, "exit");
  expect(code).toBe(7);
});

test("a lock of a set-up that is gone does not stop the next", () => {
  mkdirSync(join(root, ".proctor"));
  writeFileSync(join(root, ".proctor/launch.lock"), "999999999");
  const { err } = launch(["setup"], { path: fakePath() });
  expect(err).toMatch(/npm ci/);
});
