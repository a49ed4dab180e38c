/**
 * The patch of an agent's change, made by a git state of ours: a scratch repository that holds only the changed paths,
 * first as the environment has them, then as the agent left them. The agent's own git state, configuration, attributes,
 * hooks and filters are never near it. What is compared is the bytes of the work tree: in a repository whose attributes
 * check files out with CRLF, the patch has CRLF. Runs as the tests' uid, after the agent's places were emptied.
 */
import { type CapturedText, emptyText, succeeded } from "../../kernel/outcome.ts";
import type { DataResult, Sandbox } from "../../sandbox/port.ts";
import { capture } from "../captured.ts";
import { parentsOf } from "../change-path.ts";
import type { ChangeSet } from "../change-set.ts";
import { places } from "../places.ts";
import { commandOf, describeOutcome, mustStep, putFiles, type Step, stepFailure, tryStep } from "../steps.ts";

export interface TakenPatch {
  /** cut to the output limit */
  readonly text: CapturedText;
  /** the exact bytes, where they were within PATCH_BYTES_MAX */
  readonly whole?: Buffer;
  readonly notes: readonly string[];
}

/** What is kept of a patch in full. */
const PATCH_BYTES_MAX = 64 * 1024 ** 2;

const tree = `${places.patch}/tree`;

const gitEnvironment = {
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_ATTR_NOSYSTEM: "1",
  GIT_CEILING_DIRECTORIES: places.patch,
  LC_ALL: "C",
};

/** A name that some other file system would take for `.git` is a plain name here; line ends stay as they are. */
const gitArgv = [
  "git",
  ...[
    "core.protectNTFS=false",
    "core.protectHFS=false",
    "core.autocrlf=false",
    "core.safecrlf=false",
    "gc.auto=0",
  ].flatMap((option) => ["-c", option]),
];

/** info/attributes has the last word: no `.gitattributes` of the change turns a file binary or filters it. */
const prepare = `
set -eu
rm -rf ${places.patch}
mkdir -p ${tree}
git init -q --template= ${tree}
mkdir -p ${tree}/.git/info
echo '* !text !eol !crlf !filter !ident !working-tree-encoding !diff !merge' > ${tree}/.git/info/attributes
tar -c -C ${places.base} --null --verbatim-files-from --no-recursion -T - -f - 2>/dev/null | tar -x -p -C ${tree} -f -
`;

const dropTree = [
  "find",
  tree,
  "-mindepth",
  "1",
  "-maxdepth",
  "1",
  "!",
  "-name",
  ".git",
  "-exec",
  "rm",
  "-rf",
  "{}",
  "+",
];

/** @returns the patch; a patch that could not be made is a note, for the change is judged all the same */
export async function takePatch(
  sandbox: Sandbox,
  change: ChangeSet,
  outputBytesMax: number,
  signal: AbortSignal,
): Promise<TakenPatch> {
  if (change.files.length === 0 && change.deleted.length === 0) return { text: emptyText, notes: [] };
  const paths = Buffer.from(
    basePaths(change)
      .map((path) => `${path}\0`)
      .join(""),
  );
  await mustStep(sandbox, ours("prepare the patch", ["bash", "-c", prepare]), { signal, stdin: paths });
  const before = await snapshot(sandbox, signal);
  await mustStep(sandbox, ours("prepare the patch", dropTree), { signal });
  const name = "bring the change to the patch";
  const put = await putFiles(sandbox, { name, user: "tests", folder: tree }, change.files, signal);
  if (!succeeded(put.outcome)) throw stepFailure(name, put.outcome, put.output);
  const after = await snapshot(sandbox, signal);
  const diff = await compare(sandbox, before.id, after.id, signal);
  await mustStep(sandbox, ours("remove the patch's scratch", ["rm", "-rf", places.patch]), { signal });

  const notes = [...before.notes, ...after.notes];
  if (!succeeded(diff.outcome)) {
    notes.push(
      `The patch could not be made: git ${describeOutcome(diff.outcome)}. The change was judged all the same.`,
    );
    return { text: emptyText, notes };
  }
  if (diff.truncated) {
    notes.push(`The patch is larger than ${PATCH_BYTES_MAX} bytes; only its beginning was kept.`);
    return { text: capture(diff.stdout, outputBytesMax, diff.stdout.length + 1), notes };
  }
  return { text: capture(diff.stdout, outputBytesMax), whole: diff.stdout, notes };
}

/** What to copy from the base: the changed paths, but nothing below a path that was a link there. */
function basePaths(change: ChangeSet): string[] {
  const deleted = new Set(change.deleted);
  const kept = change.files.filter((file) => !parentsOf(file.path).some((parent) => deleted.has(parent)));
  return [...change.deleted, ...kept.map((file) => file.path)];
}

interface Snapshot {
  /** id of a git tree */
  readonly id: string;
  readonly notes: readonly string[];
}

async function snapshot(sandbox: Sandbox, signal: AbortSignal): Promise<Snapshot> {
  const add = ours("add to the patch", [...gitArgv, "add", "-A", "-f", "--ignore-errors", "."], tree);
  const added = await tryStep(sandbox, add, { signal });
  const notes = succeeded(added.outcome)
    ? []
    : [`Some of the change is not in the patch: ${JSON.stringify(added.output.text.trim().slice(-200))}`];
  const step = ours("write the patch's tree", [...gitArgv, "write-tree"], tree);
  const written = await sandbox.runForData(commandOf(step), { signal });
  if (!succeeded(written.outcome)) throw stepFailure(step.name, written.outcome, written.stderr);
  return { id: written.stdout.toString("utf8").trim(), notes };
}

function compare(sandbox: Sandbox, before: string, after: string, signal: AbortSignal): Promise<DataResult> {
  const options = [
    "-r",
    "-p",
    "--binary",
    "--full-index",
    "--no-renames",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
  ];
  const step = ours("compare for the patch", [...gitArgv, "diff-tree", ...options, before, after], tree);
  const command = { ...commandOf(step), outputBytesMax: PATCH_BYTES_MAX, floodBytesMax: 16 * PATCH_BYTES_MAX };
  return sandbox.runForData(command, { signal });
}

function ours(name: string, argv: readonly string[], cwd = "/"): Step {
  return { name, argv, user: "tests", cwd, env: gitEnvironment };
}
