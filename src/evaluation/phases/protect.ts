/** Takes what decides how tests run out of an agent's change, so that it stays as the base has it. */
import { posix } from "node:path";
import type { TaskSpec } from "../../archive/submission.ts";
import { succeeded } from "../../kernel/outcome.ts";
import type { Sandbox } from "../../sandbox/port.ts";
import type { ChangedFile, ChangeSet } from "../change-set.ts";
import { places } from "../places.ts";
import type { Evidence } from "../port.ts";
import { judgeProtected, type Protection, pathsOfDiff, protectionOf } from "../protected-files.ts";
import { commandOf } from "../steps.ts";

export interface ProtectedChange {
  /** what is judged */
  readonly change: ChangeSet;
  readonly notes: readonly string[];
  readonly evidence: readonly Evidence[];
}

/** Files of these kinds are small; a larger one is restored unread. */
const CONTENT_BYTES_MAX = 1024 ** 2;
/** Each costs a look at the base. A monorepo has hundreds of package.json, and no change touches them all. */
const COMPARED_MAX = 200;
const TOLD_MAX = 20;

/** @throws AppError of a platform fault */
export async function protect(
  sandbox: Sandbox,
  task: TaskSpec,
  change: ChangeSet,
  signal: AbortSignal,
): Promise<ProtectedChange> {
  const allowed = new Set([...pathsOfDiff(task.referencePatch ?? ""), ...task.testFiles.map((file) => file.path)]);
  const context = {
    judgeFolders: [...new Set(task.judges.map((judge) => judge.workingDir))],
    newVenvs: change.files
      .filter(({ path }) => posix.basename(path) === "pyvenv.cfg")
      .map(({ path }) => posix.dirname(path)),
  };
  const protectionFor = (path: string, kind: ChangedFile["kind"]) =>
    allowed.has(path) ? undefined : protectionOf({ path, isProgram: kind !== "file" }, context);

  const files: ChangedFile[] = [];
  const restored: string[] = [];
  const flagged: string[] = [];
  let comparedCount = 0;
  for (const file of change.files) {
    const protection = protectionFor(file.path, file.kind);
    if (protection === undefined) {
      files.push(file);
      continue;
    }
    if (protection.kind !== "forcing") comparedCount += 1;
    // Too many, or too large: restored all the same, and held against nobody.
    const isTooMuch = comparedCount > COMPARED_MAX || file.content.length > CONTENT_BYTES_MAX;
    const judged = isTooMuch ? "restored" : await compare(sandbox, protection, file, signal);
    if (judged === "part") files.push(file);
    else (judged === "flagged" ? flagged : restored).push(file.path);
  }
  const dropped = new Set([...flagged, ...restored]);
  const deleted = change.deleted.filter((path) => {
    // A file that the change replaces stands on both lists; it goes or stays as one.
    if (dropped.has(path)) return false;
    const protection = protectionFor(path, "file");
    if (protection === undefined || protection.kind === "parts" || protection.kind === "shadowing") return true;
    restored.push(path);
    return false;
  });
  return {
    change: { files, deleted, notes: change.notes },
    notes: restored.length === 0 ? [] : [`Restored from the base, not judged: ${told(restored)}.`],
    evidence: flagged.slice(0, TOLD_MAX).map((path) => ({
      kind: "protected_file",
      detail: `The agent changed ${JSON.stringify(path.slice(0, 200))}, which decides how tests run and which the reference solution leaves alone.`,
    })),
  };
}

async function compare(sandbox: Sandbox, protection: Protection, file: ChangedFile, signal: AbortSignal) {
  // A link says nothing of what will be read through it.
  if (file.kind === "link" && protection.kind !== "shadowing") return "flagged";
  const base = protection.kind === "forcing" ? undefined : await baseText(sandbox, file.path, signal);
  return judgeProtected(protection, base, file.content.toString("utf8"));
}

/** @returns undefined where the base has no such file */
async function baseText(sandbox: Sandbox, path: string, signal: AbortSignal): Promise<string | undefined> {
  const argv = ["head", "-c", String(CONTENT_BYTES_MAX), "--", `${places.base}/${path}`];
  const command = commandOf({ name: "read the base", argv, user: "tests" });
  const result = await sandbox.runForData({ ...command, outputBytesMax: CONTENT_BYTES_MAX }, { signal });
  return succeeded(result.outcome) ? result.stdout.toString("utf8") : undefined;
}

function told(paths: readonly string[]): string {
  const shown = paths.slice(0, TOLD_MAX).map((path) => JSON.stringify(path.slice(0, 200)));
  return paths.length > shown.length ? `${shown.join(", ")} and ${paths.length - shown.length} more` : shown.join(", ");
}
