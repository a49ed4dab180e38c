/** git on the host: the examples become repositories with it. */
import { CliError } from "../cli/errors.ts";
import { aptInstall, canInstall } from "./apt.ts";
import { onPath } from "./child.ts";
import type { Report } from "./report.ts";

/** @throws CliError `missing` where it is absent and not ours to install */
export async function ensureGit(report: Report, signal: AbortSignal): Promise<void> {
  await report.step("git", async (say) => {
    if (await onPath("git")) return say("git is there");
    if (!(await canInstall())) {
      throw new CliError("missing", "git is not on PATH", 'run "sudo apt-get install -y git" and run this again');
    }
    await aptInstall(["git"], signal);
    return say("git installed");
  });
}
