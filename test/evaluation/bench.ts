/** The real engine under the real evaluator: small git repositories, agents given as text, and everything removed after. */
import { execFile } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import Docker from "dockerode";
import type { AgentLanguage, AgentSpec, TaskSpec } from "../../src/archive/submission.ts";
import { loadConfig } from "../../src/config.ts";
import { createEvaluator, type EvaluationRoom } from "../../src/evaluation/evaluator.ts";
import type { TaskResult } from "../../src/evaluation/port.ts";
import { tarOf } from "../../src/evaluation/tar-of-ours.ts";
import { systemClock } from "../../src/kernel/clock.ts";
import type { Digest } from "../../src/kernel/ids.ts";
import { createDockerHost } from "../../src/sandbox/docker/host.ts";
import type { SandboxHost } from "../../src/sandbox/port.ts";
import { blobsInMemory, inputOf, keptInMemory, RecordingReporter, sanityInMemory, taskOf } from "./support.ts";

const run = promisify(execFile);

export interface Repository {
  readonly url: string;
  readonly commit: string;
}

export interface Evaluated {
  readonly result: TaskResult;
  readonly reporter: RecordingReporter;
}

const languageOf: Readonly<Record<string, AgentLanguage>> = {
  sh: "shell",
  py: "python",
  js: "javascript",
  ts: "typescript",
  go: "go",
  rb: "ruby",
};

export class Bench implements AsyncDisposable {
  readonly instance = `test-evaluation-${randomUUID().slice(0, 8)}`;
  readonly blobs = blobsInMemory();
  readonly kept = keptInMemory();
  readonly host: SandboxHost;
  readonly room: EvaluationRoom;
  readonly #folder: string;

  readonly sanity: ReturnType<typeof sanityInMemory>;

  private constructor(folder: string, environment: Record<string, string>, sanity: "presumed" | "checked") {
    this.#folder = folder;
    this.sanity = sanityInMemory(sanity);
    const config = loadConfig({
      environment: {
        AGENT_TIMEOUT_SECS: "60",
        TEST_TIMEOUT_SECS: "30",
        TASK_MEMORY_MB: "512",
        TASK_DISK_MB: "128",
        SANITY_CHECK: "required",
        NETWORK_INSTALL: "allow-list",
        // sites whose mirrors have addresses of the documentation's range
        EGRESS_ALLOW_CIDRS: "203.0.113.0/24",
        ...environment,
      },
    });
    this.host = createDockerHost({ instance: this.instance, image: config.SANDBOX_IMAGE });
    this.room = createEvaluator({
      host: this.host,
      store: { kept: this.kept, sanity: this.sanity },
      blobs: this.blobs,
      config,
      clock: systemClock,
      instance: this.instance,
    });
  }

  /** @param sanity `presumed`: every task counts as sound, so that a test of something else needs no sound one */
  static async open(
    environment: Record<string, string> = {},
    sanity: "presumed" | "checked" = "checked",
  ): Promise<Bench> {
    return new Bench(await mkdtemp(join(tmpdir(), "proctor-evaluation-")), environment, sanity);
  }

  /** A git repository whose history is one commit for each tree given; the last one is the base. */
  async repository(...trees: readonly Readonly<Record<string, string>>[]): Promise<Repository> {
    const folder = join(this.#folder, randomUUID());
    await mkdir(folder);
    await this.git(folder, "init", "-q", "-b", "main");
    for (const [index, tree] of trees.entries()) {
      for (const [path, content] of Object.entries(tree)) {
        await mkdir(dirname(join(folder, path)), { recursive: true });
        await writeFile(join(folder, path), content);
        if (content.startsWith("#!")) await chmod(join(folder, path), 0o755);
      }
      await this.git(folder, "add", "-A", "-f");
      await this.git(folder, "commit", "-q", "--allow-empty", "-m", `commit ${index + 1}`);
    }
    return { url: `file://${folder}`, commit: await this.git(folder, "rev-parse", "HEAD") };
  }

  async git(folder: string, ...argv: string[]): Promise<string> {
    const identity = ["-c", "user.name=t", "-c", "user.email=t@example", "-c", "core.hooksPath=/dev/null"];
    const { stdout } = await run("git", [...identity, "-C", folder, ...argv], {
      env: {
        PATH: process.env.PATH ?? "",
        GIT_CONFIG_NOSYSTEM: "1",
        GIT_CONFIG_GLOBAL: "/dev/null",
        HOME: this.#folder,
      },
      maxBuffer: 64 * 1024 ** 2,
    });
    return stdout.trim();
  }

  /** An agent of these files; the first one is its entry. */
  async agent(files: Readonly<Record<string, string>>): Promise<AgentSpec> {
    const entries = Object.entries(files).map(([path, content]) => ({
      path,
      kind: "file" as const,
      content: Buffer.from(content),
    }));
    const tar = await buffer(tarOf(entries));
    const digest = createHash("sha256").update(tar).digest("hex") as Digest;
    await this.blobs.put(tar);
    const entry = entries[0]?.path ?? "";
    return {
      digest,
      language: languageOf[entry.split(".").at(-1) ?? ""] ?? "shell",
      entry,
      requirements: (["requirements.txt", "package.json"] as const).filter((name) => Object.hasOwn(files, name)),
      sizeBytes: tar.length,
    };
  }

  async evaluate(
    repository: Repository,
    agentFiles: string | Readonly<Record<string, string>>,
    task: Partial<TaskSpec> = {},
    signal: AbortSignal = new AbortController().signal,
  ): Promise<Evaluated> {
    const agent = await this.agent(typeof agentFiles === "string" ? { "agent.sh": agentFiles } : agentFiles);
    const spec = taskOf({ repoUrl: repository.url, baseCommit: repository.commit, ...task });
    const reporter = new RecordingReporter();
    const result = await this.room.evaluate(inputOf(spec, agent), reporter, signal);
    return { result, reporter };
  }

  /** The tree that a patch makes of a repository's base, as text by path. */
  async applied(repository: Repository, patch: string | Buffer): Promise<string> {
    const folder = join(this.#folder, randomUUID());
    await run("git", ["clone", "-q", "--no-hardlinks", repository.url.replace("file://", ""), folder]);
    await this.git(folder, "checkout", "-q", "--detach", repository.commit);
    await writeFile(join(this.#folder, "patch"), patch);
    await this.git(folder, "apply", "--index", "--whitespace=nowarn", join(this.#folder, "patch"));
    return this.git(folder, "ls-files", "-s");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const docker = new Docker();
    const filters = { label: [`proctor.instance=${this.instance}`] };
    for (const found of await this.host.list(this.instance)) await this.host.remove(found.id);
    for (const row of this.kept.rows.values()) await this.host.removeImage(row.image);
    const { Volumes } = await docker.listVolumes({ filters });
    for (const volume of Volumes ?? []) await docker.getVolume(volume.Name).remove({ force: true });
    for (const network of await docker.listNetworks({ filters })) await docker.getNetwork(network.Id).remove();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
