/** What is done to /repo between the phases: filling, emptying, applying files. All by the unprivileged user of the phase. */
import { AppError } from "../../kernel/errors.ts";
import { succeeded } from "../../kernel/outcome.ts";
import type { Sandbox, SandboxUser } from "../../sandbox/port.ts";
import { parentsOf } from "../change-path.ts";
import { places, writablePlaces } from "../places.ts";
import { mustStep, putFiles, type Step, stepFailure, tryStep } from "../steps.ts";
import type { OutgoingFile } from "../tar-of-ours.ts";

/** An absolute place for a folder that a task names relative to another; `.` is that other one. */
export function placeBelow(root: string, folder: string): string {
  return folder === "." || folder === "" ? root : `${root}/${folder}`;
}

/** Fills the empty /repo from the environment's own copy. */
export async function fillRepo(sandbox: Sandbox, user: SandboxUser, signal: AbortSignal): Promise<void> {
  // Entry by entry: /repo itself is a mount of another owner, whose times and mode can't be set.
  const copy = ["cp", "-a", "--no-preserve=ownership", "-t", places.repo, "--", "{}", "+"];
  const argv = ["find", places.base, "-mindepth", "1", "-maxdepth", "1", "-exec", ...copy];
  await mustStep(sandbox, { name: "fill the workspace", argv, user }, { signal });
}

/**
 * Empties every writable place after the agent: the prompt by the uid that wrote it, everything else by the agent's own,
 * and then the tests' uid looks whether anything is left, of whomever.
 * @returns false where something is left: the sandbox is then not used for the tests
 */
export async function emptyPlaces(sandbox: Sandbox, signal: AbortSignal): Promise<boolean> {
  const steps = [
    { name: "remove the prompt", argv: ["rm", "-f", "--", places.prompt], user: "tests" },
    { name: "empty the workspace", argv: [places.wipe, ...writablePlaces], user: "agent" },
  ] as const;
  for (const step of steps) {
    const { outcome } = await tryStep(sandbox, step, { signal });
    if (!succeeded(outcome)) return false;
  }
  const argv = ["find", ...writablePlaces, "-mindepth", "1", "-print", "-quit"];
  const found = await tryStep(sandbox, { name: "look for leftovers", argv, user: "tests" }, { signal });
  return succeeded(found.outcome) && found.output.totalBytes === 0;
}

/**
 * Makes room for files: each folder above one becomes a real folder (a link or file that stands there goes, unless the
 * environment itself has the same link), and a folder that stands in a file's place goes. Reads NUL-ended words from
 * stdin: `d` or `f`, then the path. Forks only where something is in the way.
 */
const makeRoom = `
set -u
cd ${places.repo} || exit 1
while IFS= read -r -d '' kind && IFS= read -r -d '' path; do
  if [ "$kind" = f ]; then
    if [ -d "$path" ] && [ ! -L "$path" ]; then rm -rf -- "$path" || exit 1; fi
    continue
  fi
  if [ -L "$path" ]; then
    base=${places.base}/$path
    if [ -d "$path" ] && [ -L "$base" ] && [ "$(readlink -- "$base")" = "$(readlink -- "$path")" ]; then continue; fi
    rm -f -- "$path" || exit 1
  elif [ -e "$path" ] && [ ! -d "$path" ]; then
    rm -f -- "$path" || exit 1
  fi
  [ -d "$path" ] || mkdir -- "$path" || exit 1
done
`;

/** A folder without the right to write (a package cache, a test's leftover) would refuse what is to be applied below it. */
const unlockFolders = ["find", places.repo, "-type", "d", "!", "-perm", "-u+rwx", "-exec", "chmod", "u+rwx", "{}", "+"];

const deletePaths = ["xargs", "-0", "-r", "rm", "-rf", "--"];

export interface Application {
  readonly deleted?: readonly string[];
  readonly files: readonly OutgoingFile[];
  /** folders below /repo that must be there, `.` for the root */
  readonly folders?: readonly string[];
}

/** Brings files into /repo as `user`, and deletes what is to go. Paths were checked by whoever made the application. */
export async function applyToRepo(
  sandbox: Sandbox,
  name: string,
  user: SandboxUser,
  application: Application,
  signal: AbortSignal,
): Promise<void> {
  const { deleted = [], files, folders = [] } = application;
  await mustStep(sandbox, { name, argv: unlockFolders, user, cwd: places.repo }, { signal });
  if (deleted.length > 0) await feed(sandbox, { name, argv: deletePaths, user, cwd: places.repo }, deleted, signal);
  const wanted = folders.filter((folder) => folder !== "." && folder !== "");
  const parents = new Set([
    ...files.flatMap((file) => parentsOf(file.path)),
    ...wanted.flatMap((f) => [...parentsOf(f), f]),
  ]);
  // Outermost first: a folder can only be mended once the one above it is real.
  const words = [...parents].sort().flatMap((path) => ["d", path]);
  for (const file of files) words.push("f", file.path);
  if (words.length > 0) await feed(sandbox, { name, argv: ["bash", "-c", makeRoom], user }, words, signal);
  if (files.length === 0) return;
  const put = await putFiles(sandbox, { name, user, folder: places.repo }, files, signal);
  if (!succeeded(put.outcome)) throw stepFailure(name, put.outcome, put.output);
}

/** Runs a step of ours with NUL-ended words on stdin; the words are data whatever they hold. */
async function feed(sandbox: Sandbox, step: Step, words: readonly string[], signal: AbortSignal): Promise<void> {
  if (words.some((word) => word.includes("\0")))
    throw new AppError("internal", `could not ${step.name}: a path holds a NUL`);
  await mustStep(sandbox, step, { signal, stdin: Buffer.from(words.map((word) => `${word}\0`).join("")) });
}
