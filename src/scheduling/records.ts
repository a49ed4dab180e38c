/**
 * How a TaskResult is kept: its numbers and short facts in the task's row, its long texts as blobs. Texts come from
 * untrusted code: PostgreSQL's json can't hold NUL or half a surrogate pair, so both are replaced before they get there.
 */
import type { TaskResult, TestResult } from "../evaluation/port.ts";
import type { CapturedText } from "../kernel/outcome.ts";
import type { BlobStore } from "../store/port.ts";
import type { TaskRow } from "../store/tables/tasks.ts";

/** A CapturedText whose text is in a blob. */
type KeptText = Omit<CapturedText, "text">;

interface KeptResult extends Omit<TaskResult, "agentOutput" | "testOutput" | "agentPatch" | "tests"> {
  readonly agentOutput: KeptText;
  readonly testOutput: KeptText;
  readonly agentPatch: KeptText;
  readonly tests: readonly Omit<TestResult, "output">[];
  /** blob of the JSON array of the tests' outputs; absent where there are none */
  readonly testsBlob?: string;
}

export interface ResultColumns {
  readonly result: string;
  readonly agent_output_blob: string | null;
  readonly test_output_blob: string | null;
  readonly agent_patch_blob: string | null;
}

/** Keeps the texts, durably, and says what belongs into the row. @throws AppError `disk_full` */
export async function keepResult(blobs: BlobStore, result: TaskResult): Promise<ResultColumns> {
  const { agentOutput, testOutput, agentPatch, tests, ...rest } = result;
  const keep = (text: string) => (text === "" ? null : blobs.put(text));
  const [agentBlob, testBlob, patchBlob, testsBlob] = await Promise.all([
    keep(agentOutput.text),
    keep(testOutput.text),
    keep(agentPatch.text),
    tests.length === 0 ? null : blobs.put(JSON.stringify(tests.map((test) => test.output))),
  ]);
  const kept: KeptResult = {
    ...rest,
    agentOutput: sizesOf(agentOutput),
    testOutput: sizesOf(testOutput),
    agentPatch: sizesOf(agentPatch),
    tests: tests.map(({ output: _, ...test }) => test),
    ...(testsBlob === null ? {} : { testsBlob }),
  };
  return {
    result: JSON.stringify(kept, (_, value: unknown) => (typeof value === "string" ? storable(value) : value)),
    agent_output_blob: agentBlob,
    test_output_blob: testBlob,
    agent_patch_blob: patchBlob,
  };
}

/** The whole result of a judged task; undefined for one that was not judged. */
export async function readResult(
  blobs: BlobStore,
  row: Pick<TaskRow, "result" | "agent_output_blob" | "test_output_blob" | "agent_patch_blob">,
): Promise<TaskResult | undefined> {
  if (row.result === null) return undefined;
  // Written by keepResult in this very shape.
  const { testsBlob, ...kept } = row.result as unknown as KeptResult;
  const text = async (digest: string | null) => (digest === null ? "" : ((await blobs.get(digest))?.toString() ?? ""));
  const outputs = testsBlob === undefined ? [] : (JSON.parse((await text(testsBlob)) || "[]") as string[]);
  return {
    ...kept,
    agentOutput: { ...kept.agentOutput, text: await text(row.agent_output_blob) },
    testOutput: { ...kept.testOutput, text: await text(row.test_output_blob) },
    agentPatch: { ...kept.agentPatch, text: await text(row.agent_patch_blob) },
    tests: kept.tests.map((test, index) => ({ ...test, output: outputs[index] ?? "" })),
  };
}

/** A text that every column of PostgreSQL takes. */
export function storable(text: string): string {
  return text.replaceAll("\0", "\ufffd").toWellFormed();
}

function sizesOf({ totalBytes, truncated }: CapturedText): KeptText {
  return { totalBytes, truncated };
}
