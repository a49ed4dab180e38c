/** Where things lie: everything that set-up makes is below `.proctor/` of the checkout, except packages and images. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

/** Folder of the checkout or of the installed package. */
export const packageRoot = resolve(import.meta.dirname, "../..");

/** Whether this is a checkout; an installed package keeps its state in the current folder. */
export const isCheckout =
  !packageRoot.split("/").includes("node_modules") && existsSync(join(packageRoot, "src/main.ts"));

/** The folder that `proctor clean` removes. */
export const stateDir = join(isCheckout ? packageRoot : process.cwd(), ".proctor");

export const paths = {
  setupLock: join(stateDir, "setup.lock"),
  quickstartLock: join(stateDir, "quickstart.lock"),
  engineRecord: join(stateDir, "engine/engine.json"),
  engineDir: join(stateDir, "engine"),
  serverRecord: join(stateDir, "server.json"),
  serverLog: join(stateDir, "server.log"),
  keys: join(stateDir, "keys"),
  repositories: join(stateDir, "repositories"),
  sessions: join(stateDir, "sessions"),
  data: join(stateDir, "data"),
  temporary: join(stateDir, "tmp"),
  testReports: join(stateDir, "test"),
  examples: join(packageRoot, "examples"),
} as const;

/** What an inspecting proxy needs: the bundle that Debian's ca-certificates keeps, with the site's own in it. */
export const hostCaFile = "/etc/ssl/certs/ca-certificates.crt";

const baseName = { repo: "proctor/base", tag: "bookworm" } as const;
export const images = {
  baseName,
  base: `${baseName.repo}:${baseName.tag}`,
  sandbox: "proctor/sandbox:latest",
} as const;
