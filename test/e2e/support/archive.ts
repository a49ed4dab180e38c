/** Archives made in memory, and the git repository their tasks name: as small as an evaluation can be. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import AdmZip from "adm-zip";

/** `repo: small/value` resolves to a repository below `folder`: one file, `value.txt`, that says 1 and should say 2. */
export function makeSmallRepository(folder: string): { readonly template: string } {
  const repository = join(folder, "repositories/small+value/repo");
  mkdirSync(repository, { recursive: true });
  writeFileSync(join(repository, "value.txt"), "1\n");
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=t", "-c", "user.email=t@t.invalid", ...args], { cwd: repository });
  git("init", "-q", "-b", "main");
  git("add", "-A");
  git("commit", "-qm", "one");
  return { template: `file://${folder}/repositories/{owner}+{name}/repo` };
}

export interface SmallArchive {
  /** makes the archive, and the ids of its tasks, distinct */
  readonly name: string;
  readonly taskCount?: number;
  /** the agent, in bash; it solves every task by default */
  readonly agent?: string;
}

export function smallArchive({
  name,
  taskCount = 1,
  agent = "echo working; echo 2 > value.txt\n",
}: SmallArchive): Buffer {
  const zip = new AdmZip();
  for (let number = 1; number <= taskCount; number++) {
    const yaml = [`id: small/${name}-${number}`, "repo: small/value", "fail_to_pass:", "  - grep -q 2 value.txt"];
    zip.addFile(`tasks/${number}/workspace.yaml`, Buffer.from(yaml.join("\n")));
    zip.addFile(`tasks/${number}/prompt.md`, Buffer.from("Put a 2 into value.txt.\n"));
  }
  zip.addFile("agent_code/agent.sh", Buffer.from(agent));
  return zip.toBuffer();
}
