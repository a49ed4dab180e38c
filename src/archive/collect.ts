/**
 * Sorting an archive's files while they stream by: task files are kept in memory (bounded), agent files go to one spool
 * file, the rest is checked and dropped. The layout's root is known only at the end: the archive's own root, or one folder.
 */
import { limits } from "../kernel/limits.ts";
import { drain, readAll } from "./drain.ts";
import type { ArchiveFile } from "./read-archive.ts";
import { refusal, shown } from "./refusal.ts";
import type { SpoolFile } from "./spool.ts";
import type { TaskFolder } from "./task/task.ts";
import type { TestEntry } from "./task/test-files.ts";

/** A file of the agent, lying in the spool. */
export interface AgentFile {
  /** below `agent_code/`; for a lone `agent_code.py` its name */
  readonly path: string;
  readonly executable: boolean;
  readonly startBytes: number;
  readonly sizeBytes: number;
}

interface KeptFile {
  /** below `tasks/` */
  readonly path: string;
  readonly bytes: Buffer;
  readonly executable: boolean;
}

interface Layout {
  readonly tasks: KeptFile[];
  readonly agent: AgentFile[];
}

export interface Collected {
  readonly folders: readonly TaskFolder[];
  readonly agent: readonly AgentFile[];
}

const TASK_FILE = /(?:^|\/)(?:workspace\.yaml|prompt\.md|checks\.txt|tests\/.*)$/;

export class Collector {
  readonly #spool: SpoolFile;
  /** by root: "" or the one folder */
  readonly #layouts = new Map<string, Layout>();
  #keptBytes = 0;
  #spoolBytes = 0;

  constructor(spool: SpoolFile) {
    this.#spool = spool;
  }

  /** Visitor of `readArchive`. @throws AppError `extraction_failed` naming the file and the limit */
  async take(file: ArchiveFile): Promise<void> {
    const place = placeOf(file.path);
    if (place === undefined) return drain(file.content);
    const layout = this.#layouts.get(place.root) ?? { tasks: [], agent: [] };
    this.#layouts.set(place.root, layout);
    if (place.part === "agent") {
      layout.agent.push(await this.#spoolAgent(file, place.path));
      return;
    }
    if (!TASK_FILE.test(place.path)) return drain(file.content);
    const bytesMax = bytesMaxOf(place.path);
    const bytes = file.sizeBytes > bytesMax ? undefined : await readAll(file.content, bytesMax);
    if (bytes === undefined) throw refusal(`file ${shown(file.path)} is larger than ${bytesMax} bytes`);
    this.#keptBytes += bytes.length;
    if (this.#keptBytes > limits.tasksBytesMax) {
      throw refusal(`the task files take more than ${limits.tasksBytesMax} bytes in all`);
    }
    layout.tasks.push({ path: place.path, bytes, executable: file.executable });
  }

  /** @throws AppError `extraction_failed` where tasks or agent are missing, or stand in two places */
  finish(): Collected {
    const roots = [...this.#layouts].filter(([, layout]) => layout.tasks.length > 0 || layout.agent.length > 0);
    const chosen = roots.find(([root]) => root === "") ?? roots[0];
    if (chosen === undefined)
      throw refusal("the archive holds neither tasks/ nor agent_code/, at its root or one folder down");
    if (chosen[0] !== "" && roots.length > 1) {
      const names = roots.map(([root]) => shown(root)).slice(0, 3);
      throw refusal(`tasks/ or agent_code/ stand in more than one folder: ${names.join(", ")}`);
    }
    const [, layout] = chosen;
    const folders = foldersOf(layout.tasks);
    if (folders.length === 0) throw refusal("the archive holds no tasks/**/workspace.yaml");
    if (folders.length > limits.tasksMax) throw refusal(`the archive holds more than ${limits.tasksMax} tasks`);
    if (layout.agent.length === 0) throw refusal("the archive holds no agent_code/ with the agent's files");
    return { folders, agent: layout.agent };
  }

  async #spoolAgent(file: ArchiveFile, path: string): Promise<AgentFile> {
    const startBytes = this.#spoolBytes;
    for await (const chunk of file.content) {
      this.#spoolBytes += chunk.length;
      if (this.#spoolBytes > limits.agentBytesMax) {
        throw refusal(`the agent's files take more than ${limits.agentBytesMax} bytes`);
      }
      await this.#spool.write(chunk);
    }
    return { path, executable: file.executable, startBytes, sizeBytes: this.#spoolBytes - startBytes };
  }
}

function placeOf(path: string): { root: string; part: "tasks" | "agent"; path: string } | undefined {
  const segments = path.split("/");
  for (const depth of [0, 1]) {
    const name = segments[depth];
    const root = segments.slice(0, depth).join("/");
    const below = segments.slice(depth + 1).join("/");
    if (name === "tasks" && below !== "") return { root, part: "tasks", path: below };
    if (name === "agent_code" && below !== "") return { root, part: "agent", path: below };
    if (name?.startsWith("agent_code.") && below === "") return { root, part: "agent", path: name };
  }
  return undefined;
}

function bytesMaxOf(path: string): number {
  if (/(?:^|\/)tests\//.test(path)) return limits.testFileBytesMax;
  if (path.endsWith("workspace.yaml")) return limits.yamlBytesMax;
  return path.endsWith("prompt.md") ? limits.promptBytesMax : limits.checksBytesMax;
}

/** Each folder with a workspace.yaml is a task, unless it lies in the `tests/` of a task around it. */
function foldersOf(files: readonly KeptFile[]): TaskFolder[] {
  const marks = files.filter((file) => /(?:^|\/)workspace\.yaml$/.test(file.path));
  const candidates = new Map(marks.map((file) => [parentOf(file.path), file.bytes]));
  const isFixture = (folder: string) =>
    ancestorsOf(folder).some((above) => candidates.has(above) && inTests(folder, above));
  const folders = new Map<string, Kept>();
  for (const [path, yaml] of candidates) {
    if (!isFixture(path))
      folders.set(path, { path, yaml, prompt: undefined, checks: undefined, tests: [], bytes: yaml.length });
  }
  for (const file of files) {
    const owner = [parentOf(file.path), ...ancestorsOf(parentOf(file.path))].find((folder) => folders.has(folder));
    const folder = owner === undefined ? undefined : folders.get(owner);
    if (owner === undefined || folder === undefined) continue;
    const below = owner === "" ? file.path : file.path.slice(owner.length + 1);
    if (below === "prompt.md") folder.prompt = file.bytes;
    else if (below === "checks.txt") folder.checks = file.bytes;
    else if (below.startsWith("tests/")) folder.tests.push({ ...file, path: below.slice("tests/".length) });
    else continue;
    folder.bytes += file.bytes.length;
    if (folder.tests.length > limits.testFilesMax)
      throw refusal(`task ${shown(owner)}: has more than ${limits.testFilesMax} test files`);
    if (folder.bytes > limits.taskBytesMax)
      throw refusal(`task ${shown(owner)}: takes more than ${limits.taskBytesMax} bytes`);
  }
  return [...folders.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

interface Kept extends TaskFolder {
  prompt: Buffer | undefined;
  checks: Buffer | undefined;
  readonly tests: TestEntry[];
  bytes: number;
}

const parentOf = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf("/")));

/** Every folder around `folder`, nearest first, the root (empty) last. */
function ancestorsOf(folder: string): string[] {
  const found: string[] = [];
  for (let at = folder; at !== ""; at = parentOf(at)) found.push(parentOf(at));
  return found;
}

function inTests(folder: string, above: string): boolean {
  const below = above === "" ? folder : folder.slice(above.length + 1);
  return below === "tests" || below.startsWith("tests/");
}
