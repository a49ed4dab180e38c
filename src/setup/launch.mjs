#!/usr/bin/env node
/**
 * The command `proctor`, and what the npm scripts call. Plain JavaScript without packages that an old Node (≥ 14) can
 * run, because it is there before anything else is.
 *
 * It finds a Node ≥ 24 (this process, the one that set-up brought, one on PATH) and hands over to the real program:
 * `src/main.ts` in a checkout, `dist/main.js` in an installed package. `setup`, `quickstart` and `test` bring that Node
 * and the packages first where they are missing; every other command says what is missing and ends with code 4.
 */
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const NODE_MAJOR = 24;
/** pinned; npm checks its bytes against the registry's integrity hash */
const NODE_VERSION = "24.21.0";
const NPM_VERSION = "11.19.1";
const EXIT_MISSING = 4;
const BRINGING = ["setup", "quickstart", "test"];

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const isCheckout = !root.split(path.sep).includes("node_modules") && fs.existsSync(path.join(root, "src/main.ts"));
const main = path.join(root, isCheckout ? "src/main.ts" : "dist/main.js");
const stateDir = path.join(isCheckout ? root : process.cwd(), ".proctor");
const args = process.argv.slice(2);

start().catch((error) => {
  process.stderr.write(`proctor: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = EXIT_MISSING;
});

async function start() {
  const mayBring =
    isCheckout && BRINGING.includes(args[0]) && !args.some((a) => ["--stop", "--help", "-h"].includes(a));
  let node = findNode();
  if (node === undefined || !packagesPresent()) {
    if (!mayBring) throw new Error(whatIsMissing(node));
    node = locked(() => {
      const found = findNode() || bringNode();
      if (!packagesPresent()) bringPackages(found);
      return found;
    });
  }
  if (isCheckout) linkCommand();
  // Children that look `node` up (git hooks, npx) meet the same one.
  process.env.PATH = `${path.dirname(node)}${path.delimiter}${process.env.PATH || ""}`;
  if (node === process.execPath) await import(pathToFileURL(main).href);
  else handOver(node);
}

/** @returns the absolute path of a Node that is new enough, or undefined */
function findNode() {
  if (major(process.version) >= NODE_MAJOR) return process.execPath;
  const candidates = [path.join(stateDir, "node/bin/node")];
  for (const folder of (process.env.PATH || "").split(path.delimiter)) {
    if (path.isAbsolute(folder)) candidates.push(path.join(folder, "node"));
  }
  return candidates.find((candidate) => {
    if (!fs.existsSync(candidate)) return false;
    const asked = spawnSync(candidate, ["--version"], { encoding: "utf8", timeout: 10000 });
    return asked.status === 0 && major(asked.stdout) >= NODE_MAJOR;
  });
}

function major(version) {
  const match = /^v(\d+)\./.exec(version);
  return match === null ? 0 : Number(match[1]);
}

/** Whether node_modules holds what the lock file says, package by package; of optional ones those for this platform. */
function packagesPresent() {
  if (!isCheckout) return true;
  try {
    const wanted = JSON.parse(fs.readFileSync(path.join(root, "package-lock.json"), "utf8")).packages;
    const present = JSON.parse(fs.readFileSync(path.join(root, "node_modules/.package-lock.json"), "utf8")).packages;
    return Object.keys(wanted).every((name) => {
      if (name === "" || !isNeeded(wanted[name])) return true;
      return present[name] !== undefined && present[name].integrity === wanted[name].integrity;
    });
  } catch {
    return false;
  }
}

/** An optional package that names no platform is one that may fail to build; one that names ours is a native part. */
function isNeeded(entry) {
  if (entry.optional !== true && entry.devOptional !== true) return true;
  if (entry.os === undefined && entry.cpu === undefined) return false;
  const header = process.report === undefined ? {} : process.report.getReport().header;
  const libc = header.glibcVersionRuntime === undefined ? "musl" : "glibc";
  const fits = (list, value) => list === undefined || list.includes(value);
  return fits(entry.os, process.platform) && fits(entry.cpu, process.arch) && fits(entry.libc, libc);
}

function whatIsMissing(node) {
  const wants = [];
  if (node === undefined) wants.push(`Node ≥ ${NODE_MAJOR} (this one is ${process.version})`);
  if (!packagesPresent()) wants.push("the packages of package-lock.json");
  const next = isCheckout ? `run "npm run setup" in ${root}` : `install Node ≥ ${NODE_MAJOR} and run it with that`;
  return `missing: ${wants.join(" and ")}; ${next}`;
}

/** Brings Node from the npm registry: a package that only holds the official binary, without install scripts. */
function bringNode() {
  const platform = `${process.platform}-${process.arch}`;
  if (!["linux-x64", "linux-arm64"].includes(platform)) {
    throw new Error(
      `no Node ≥ ${NODE_MAJOR} here, and none can be brought for ${platform}; install it from nodejs.org`,
    );
  }
  const name = `node-${platform}`;
  step(`Node ${NODE_VERSION} into .proctor/node`, () =>
    bring(`${name}@${NODE_VERSION}`, "node", (fresh) => {
      const binary = path.join(fresh, "node_modules", name, "bin/node");
      const asked = spawnSync(binary, ["--version"], { encoding: "utf8", timeout: 10000 });
      if (asked.status !== 0) {
        throw new Error(
          `the Node that npm brought (${name}@${NODE_VERSION}) does not run here: ${asked.stderr || asked.error}`,
        );
      }
      fs.mkdirSync(path.join(fresh, "bin"));
      fs.renameSync(binary, path.join(fresh, "bin/node"));
      fs.rmSync(path.join(fresh, "node_modules"), { recursive: true, force: true });
    }),
  );
  return path.join(stateDir, "node/bin/node");
}

/** Installs one package into `.proctor/<folder>`, all or nothing: an interrupted run leaves no half of it. */
function bring(spec, folder, shape) {
  const fresh = path.join(stateDir, `${folder}.${process.pid}.partial`);
  const target = path.join(stateDir, folder);
  fs.mkdirSync(fresh, { recursive: true });
  try {
    const flags = ["--no-save", "--no-package-lock", "--ignore-scripts"];
    npm(ownNpm(), ["install", "--prefix", fresh].concat(flags, [spec]), fresh);
    shape(fresh);
    fs.rmSync(target, { recursive: true, force: true });
    fs.renameSync(fresh, target);
  } finally {
    fs.rmSync(fresh, { recursive: true, force: true });
  }
}

/** Install scripts stay off: no package needs one here, and one of a test dependency would ask for a compiler. */
function bringPackages(node) {
  step("packages of package-lock.json", () => npm(npmUnder(node), ["ci", "--ignore-scripts"], root));
}

/** The npm that started us under its own Node, else the one on PATH, as [command, ...arguments]. */
function ownNpm() {
  const own = process.env.npm_execpath;
  const isNpm = own !== undefined && /npm-cli\.(c|m)?js$/.test(own) && fs.existsSync(own);
  return isNpm ? [process.execPath, own] : ["npm"];
}

/** npm leaves out native packages that its own Node is too old for: so it must run under the Node that will use them. */
function npmUnder(node) {
  if (node === process.execPath) return ownNpm();
  const cli = path.join(stateDir, "npm/node_modules/npm/bin/npm-cli.js");
  if (!fs.existsSync(cli)) bring(`npm@${NPM_VERSION}`, "npm", () => {});
  return [node, cli];
}

/** Runs npm, quiet unless it fails. */
function npm(command, npmArgs, cwd) {
  const quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=5", "--loglevel=error"];
  const env = Object.assign({}, process.env);
  // npm started by npm must not take the outer one's prefix or dry-run for its own.
  const outer = /^npm_(config_(global|prefix|local_prefix|dry_run|omit|only|production)|package_|lifecycle_)/i;
  for (const key of Object.keys(env)) if (outer.test(key)) delete env[key];
  delete env.NODE_ENV; // "production" would leave out what the tests need
  if (path.isAbsolute(command[0])) env.PATH = `${path.dirname(command[0])}${path.delimiter}${env.PATH || ""}`;
  const ran = spawnSync(command[0], command.slice(1).concat(npmArgs, quiet), {
    cwd,
    env,
    encoding: "utf8",
    timeout: 600000,
    maxBuffer: 1 << 26,
  });
  if (ran.error !== undefined && ran.error.code === "ENOENT")
    throw new Error('no "npm" on PATH; install npm and run this again');
  if (ran.status !== 0) {
    const said = `${ran.stdout || ""}${ran.stderr || ""}`.trim().split("\n").slice(-25).join("\n");
    throw new Error(
      `"npm ${npmArgs.join(" ")}" failed (${ran.signal || ran.status}):\n${said}\nnext: mend the cause above and run this again`,
    );
  }
}

function step(what, work) {
  const began = Date.now();
  if (process.stderr.isTTY) process.stderr.write(`  … ${what}\r`);
  work();
  process.stderr.write(`  ✓ ${what} (${((Date.now() - began) / 1000).toFixed(1)} s)\n`);
}

/** One set-up at a time; the lock of a process that is gone is taken over. */
function locked(work) {
  const file = path.join(stateDir, "launch.lock");
  fs.mkdirSync(stateDir, { recursive: true });
  const deadline = Date.now() + 600000;
  for (let said = false; ; ) {
    try {
      fs.writeFileSync(file, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const holder = Number(readOr(file, "0"));
    if (holder > 0 && !alive(holder)) fs.rmSync(file, { force: true });
    else if (Date.now() > deadline)
      throw new Error(`process ${holder} holds ${file}; end it, or delete the file, and run this again`);
    else if (!said) process.stderr.write(`  waiting for the set-up of process ${holder}\n`);
    said = true;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
  try {
    return work();
  } finally {
    fs.rmSync(file, { force: true });
  }
}

function readOr(file, fallback) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return fallback;
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** `npx proctor` looks in node_modules/.bin, where npm doesn't put a package's own command. */
function linkCommand() {
  const link = path.join(root, "node_modules/.bin/proctor");
  try {
    if (fs.existsSync(link)) return;
    fs.mkdirSync(path.dirname(link), { recursive: true });
    fs.rmSync(link, { force: true });
    fs.symlinkSync("../../src/setup/launch.mjs", link);
  } catch (error) {
    if (error.code !== "EEXIST" && error.code !== "EACCES" && error.code !== "EROFS") throw error;
  }
}

/** Runs the program under another Node: same terminal, signals passed on, its ending is ours. */
function handOver(node) {
  const child = spawn(node, [main].concat(args), { stdio: "inherit" });
  for (const signal of ["SIGTERM", "SIGHUP", "SIGINT"]) {
    process.on(signal, () => {
      // A terminal sends Ctrl-C to the whole group: the child has it already.
      if (!(signal === "SIGINT" && process.stdin.isTTY)) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    process.stderr.write(`proctor: ${node} could not be started: ${error.message}\n`);
    process.exitCode = EXIT_MISSING;
  });
  child.on("exit", (code, signal) => {
    if (signal === null) {
      process.exitCode = code === null ? 1 : code;
      return;
    }
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
