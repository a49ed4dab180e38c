/** Taking the agent's change out of the sandbox, after its processes are dead. */
import { limits } from "../../kernel/limits.ts";
import { succeeded } from "../../kernel/outcome.ts";
import type { Sandbox } from "../../sandbox/port.ts";
import { type ChangeBounds, type ChangeSet, emptyChangeSet, parseChangeSet } from "../change-set.ts";
import { places } from "../places.ts";
import { commandOf, describeOutcome } from "../steps.ts";

const bounds: ChangeBounds = {
  filesMax: limits.changedFilesMax,
  // A deletion carries no content: a removed dependency folder must not hide the change beside it.
  deletedMax: 100_000,
  bytesMax: limits.changedBytesMax,
};

/** Paths and record heads beside the contents. */
const OVERHEAD_BYTES_MAX = 32 * 1024 ** 2;

/**
 * What the agent changed, bounded and checked; with a note where something of it could not be taken. Never the agent's
 * word: the program compares the workspace with the environment's own copy and asks no git.
 */
export async function harvest(sandbox: Sandbox, signal: AbortSignal): Promise<ChangeSet> {
  const recordsMax = bounds.filesMax + bounds.deletedMax;
  const argv = [places.harvest, places.base, places.repo, String(recordsMax), String(bounds.bytesMax)];
  const command = commandOf({ name: "harvest", argv, user: "agent", timeoutMs: 300_000 });
  const outputBytesMax = bounds.bytesMax + OVERHEAD_BYTES_MAX;
  const result = await sandbox.runForData(
    { ...command, outputBytesMax, floodBytesMax: outputBytesMax + 1024 ** 2 },
    { signal },
  );
  const isWhole = succeeded(result.outcome) && !result.truncated;
  if (result.stdout.length === 0 && !isWhole) {
    const note = `The change could not be read (harvest ${describeOutcome(result.outcome)}); the task was judged without it.`;
    return { ...emptyChangeSet, notes: [note] };
  }
  return parseChangeSet(result.stdout, bounds);
}
