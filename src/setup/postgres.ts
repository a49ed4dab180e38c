/** PostgreSQL for the tests that want a real server: its programs only. The tests start and end their own clusters. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { aptInstall, canInstall } from "./apt.ts";
import { onPath } from "./child.ts";
import type { Report } from "./report.ts";

const DEBIAN_ROOT = "/usr/lib/postgresql";

/** Whether the server's program is on this machine. */
async function isInstalled(): Promise<boolean> {
  if (await onPath("postgres")) return true;
  if (!existsSync(DEBIAN_ROOT)) return false;
  return readdirSync(DEBIAN_ROOT).some((version) => existsSync(join(DEBIAN_ROOT, version, "bin/postgres")));
}

/** Installs PostgreSQL where that is ours to do; elsewhere says that the tests that need it will be skipped. */
export async function ensurePostgres(report: Report, signal: AbortSignal): Promise<void> {
  await report.step("PostgreSQL for the tests", async (say) => {
    if (await isInstalled()) return say("PostgreSQL is there");
    if (!(await canInstall())) {
      return say(
        'PostgreSQL is absent: tests that need it are skipped ("sudo apt-get install -y postgresql" brings it)',
      );
    }
    await aptInstall(["postgresql"], signal);
    return say("PostgreSQL installed");
  });
}
