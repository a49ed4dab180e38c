/**
 * Whether the hidden tests still are what was sent: a digest of each, taken inside the sandbox by its own read-only
 * programs when no other process is left, before and after each judging command.
 */
import { createHash } from "node:crypto";
import { succeeded } from "../../kernel/outcome.ts";
import type { Sandbox } from "../../sandbox/port.ts";
import { places } from "../places.ts";
import { commandOf, stepFailure } from "../steps.ts";
import type { OutgoingFile } from "../tar-of-ours.ts";

/** Absolute path and SHA-256, 64 hex digits. */
export type ExpectedDigests = ReadonlyMap<string, string>;

/**
 * Prints the NUL-ended paths that are not a plain readable file of the digest asked for. Reads NUL-ended pairs of digest
 * and path. A link, fifo or device is never opened. Keys have a prefix: bash takes a bare `@` for the whole array.
 */
const compare = `
set -u
declare -A want
while IFS= read -r -d '' digest && IFS= read -r -d '' path; do
  if [ -f "$path" ] && [ ! -L "$path" ]; then want["k$path"]=$digest; else printf '%s\\0' "$path"; fi
done
while IFS= read -r -d '' line; do
  key="k\${line:66}"
  [ "\${want["$key"]:-}" = "\${line:0:64}" ] && want["$key"]=same
done < <(for key in "\${!want[@]}"; do printf '%s\\0' "\${key:1}"; done | xargs -0 -r sha256sum -z -- 2>/dev/null)
for key in "\${!want[@]}"; do
  [ "\${want["$key"]}" = same ] || printf '%s\\0' "\${key:1}"
done
exit 0
`;

/** Paths beyond this are not told apart any more; that one differs is what counts. */
const OUTPUT_BYTES_MAX = 1024 ** 2;

/** @param folder absolute; the files' paths are relative to it */
export function digestsOf(folder: string, files: readonly OutgoingFile[]): ExpectedDigests {
  return new Map(
    files.map((file) => [`${folder}/${file.path}`, createHash("sha256").update(file.content).digest("hex")]),
  );
}

/** @returns the paths, below /repo relative to it, that are not as expected; sorted. @throws AppError `sandbox_failed` */
export async function changedFiles(
  sandbox: Sandbox,
  expected: ExpectedDigests,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const words = [...expected].flatMap(([path, digest]) => [digest, path]);
  const step = { name: "compare the hidden tests", argv: ["bash", "-c", compare], user: "tests" } as const;
  const stdin = Buffer.from(words.map((word) => `${word}\0`).join(""));
  const command = { ...commandOf(step), outputBytesMax: OUTPUT_BYTES_MAX };
  const result = await sandbox.runForData(command, { signal, stdin });
  if (!succeeded(result.outcome)) throw stepFailure(step.name, result.outcome, result.stderr);
  return result.stdout
    .toString("utf8")
    .split("\0")
    .filter((path) => path !== "")
    .map((path) => (path.startsWith(`${places.repo}/`) ? path.slice(places.repo.length + 1) : path))
    .sort();
}
