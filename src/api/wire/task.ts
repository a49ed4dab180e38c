/**
 * Tasks on the wire: `/batch/{id}/tasks` and `/batch/{id}/task/{task_id}`. Long texts are not here: they stay blobs until
 * they are written piece by piece (json-stream.ts). What unauthenticated readers see of outputs is decided here.
 */
import * as v from "valibot";
import { gradingModes, phases } from "../../kernel/outcome.ts";
import type { TaskRow } from "../../store/tables/tasks.ts";
import { taskSummaryToWire, taskSummaryWire } from "./batch.ts";

/** full: all · summary: results and their names, no text that untrusted code printed · none: verdicts only */
export type OutputsVisible = "full" | "summary" | "none";

const outcomeStored = v.looseObject({ kind: v.string(), exitCode: v.optional(v.number()) });
const textStored = v.looseObject({ totalBytes: v.number(), truncated: v.boolean() });
const connectionsStored = v.object({
  host: v.string(),
  port: v.number(),
  allowed: v.boolean(),
  reason: v.nullable(v.string()),
  connections: v.number(),
  bytesUp: v.number(),
  bytesDown: v.number(),
});
/** What graded a task: id and version of the policy, and the SHA-256 of its rule. */
const policyWire = v.object({ id: v.string(), version: v.number(), hash: v.string() });
/** TaskResult as the store keeps it: without texts. Read leniently: an older server may have written it. */
const resultStored = v.looseObject({
  phases: v.fallback(
    v.array(
      v.looseObject({
        phase: v.picklist(phases),
        durationMs: v.number(),
        outcome: v.optional(outcomeStored),
        cached: v.boolean(),
        usage: v.optional(v.looseObject({ cpuMs: v.number(), memoryPeakBytes: v.number() })),
        network: v.fallback(v.optional(v.array(connectionsStored)), undefined),
      }),
    ),
    [],
  ),
  tests: v.fallback(
    v.array(
      v.looseObject({
        name: v.string(),
        passed: v.boolean(),
        exitCode: v.optional(v.number()),
      }),
    ),
    [],
  ),
  /** blob of the JSON array of the tests' outputs (scheduling/records.ts) */
  testsBlob: v.fallback(v.optional(v.string()), undefined),
  agentOutput: v.fallback(v.optional(textStored), undefined),
  testOutput: v.fallback(v.optional(textStored), undefined),
  agentPatch: v.fallback(v.optional(textStored), undefined),
  notes: v.fallback(v.array(v.string()), []),
  evidence: v.fallback(v.array(v.object({ kind: v.string(), detail: v.string() })), []),
  unguarded: v.fallback(v.array(v.string()), []),
  agentExitCode: v.fallback(v.optional(v.number()), undefined),
  baseCommit: v.fallback(v.optional(v.string()), undefined),
  runtime: v.fallback(v.optional(v.string()), undefined),
  grading: v.fallback(v.optional(v.picklist(gradingModes)), undefined),
  policy: v.fallback(v.optional(policyWire), undefined),
});
type ResultStored = v.InferOutput<typeof resultStored>;

/** The names of the texts, and where each is kept. */
export const textFields = [
  { name: "test_output", blob: "test_output_blob", stored: "testOutput" },
  { name: "agent_output", blob: "agent_output_blob", stored: "agentOutput" },
  { name: "agent_patch", blob: "agent_patch_blob", stored: "agentPatch" },
] as const;

const texts = { test_output: v.string(), agent_output: v.string(), agent_patch: v.string() };
const marks = { truncated: v.boolean(), outputs_withheld: v.boolean() };

/** One task of `/batch/{id}/tasks`. */
export const taskListItemWire = v.object({ ...taskSummaryWire.entries, ...marks, ...texts });
export const taskListWire = v.object({ batch_id: v.string(), tasks: v.array(taskListItemWire) });

export const phaseWire = v.object({
  phase: v.picklist(phases),
  duration_ms: v.number(),
  cached: v.boolean(),
  outcome: v.nullable(v.string()),
  exit_code: v.nullable(v.number()),
  cpu_ms: v.nullable(v.number()),
  memory_peak_bytes: v.nullable(v.number()),
});

/** What a phase connected to through the allow-list, or tried to: alike connections in one line. */
export const connectionsWire = v.object({
  phase: v.picklist(phases),
  host: v.string(),
  port: v.number(),
  allowed: v.boolean(),
  reason: v.nullable(v.string()),
  connections: v.number(),
  bytes_up: v.number(),
  bytes_down: v.number(),
});

const taskDetail = {
  ...taskSummaryWire.entries,
  ...marks,
  batch_id: v.string(),
  attempt: v.number(),
  phases: v.array(phaseWire),
  notes: v.array(v.string()),
  /** why a task is `tampered`; empty otherwise */
  evidence: v.array(v.object({ kind: v.string(), detail: v.string() })),
  network: v.array(connectionsWire),
  /** judging commands whose result nothing but their exit code vouches for */
  unguarded: v.array(v.string()),
  agent_exit_code: v.nullable(v.number()),
  base_commit: v.nullable(v.string()),
  runtime: v.nullable(v.string()),
  grading: v.nullable(v.picklist(gradingModes)),
  grading_policy: v.nullable(policyWire),
  test_output_bytes: v.number(),
  agent_output_bytes: v.number(),
  agent_patch_bytes: v.number(),
};
const testHead = { name: v.string(), passed: v.boolean(), exit_code: v.nullable(v.number()) };
export type TestHeadWire = v.InferOutput<v.ObjectSchema<typeof testHead, undefined>>;

export const taskWire = v.object({
  ...taskDetail,
  test_results: v.array(v.object({ ...testHead, output: v.string() })),
  ...texts,
});
export type TaskDetailWire = v.InferOutput<v.ObjectSchema<typeof taskDetail, undefined>>;

/** The head of one task in the list: all but its texts. */
export function taskListItemToWire(task: TaskRow, visible: OutputsVisible) {
  return { ...taskSummaryToWire(task), ...marksToWire(readResult(task), visible) };
}

/** One task: all but its test results and its texts. */
export function taskToWire(task: TaskRow, visible: OutputsVisible): TaskDetailWire {
  const result = readResult(task);
  return {
    ...taskSummaryToWire(task),
    ...marksToWire(result, visible),
    batch_id: task.batch_id,
    attempt: task.attempt,
    phases: result.phases.map(phaseToWire),
    notes: visible === "none" ? [] : [...result.notes],
    evidence: visible === "none" ? [] : [...result.evidence],
    network: visible === "none" ? [] : result.phases.flatMap(connectionsToWire),
    unguarded: visible === "none" ? [] : [...result.unguarded],
    agent_exit_code: result.agentExitCode ?? null,
    base_commit: result.baseCommit ?? null,
    runtime: result.runtime ?? null,
    grading: result.grading ?? null,
    grading_policy: result.policy ?? null,
    test_output_bytes: result.testOutput?.totalBytes ?? 0,
    agent_output_bytes: result.agentOutput?.totalBytes ?? 0,
    agent_patch_bytes: result.agentPatch?.totalBytes ?? 0,
  };
}

/** What is said of each judging command but its output, and where the outputs are; undefined where they stay hidden. */
export function testsToWire(
  task: TaskRow,
  visible: OutputsVisible,
): { readonly heads: readonly TestHeadWire[]; readonly outputsBlob: string | undefined } {
  const result = readResult(task);
  const heads = result.tests.map(({ name, passed, exitCode }) => ({ name, passed, exit_code: exitCode ?? null }));
  return {
    heads: visible === "none" ? [] : heads,
    outputsBlob: visible === "full" ? result.testsBlob : undefined,
  };
}

function readResult(task: TaskRow): ResultStored {
  return v.parse(resultStored, task.result ?? {});
}

function marksToWire(result: ResultStored, visible: OutputsVisible) {
  const truncated = textFields.some(({ stored }) => result[stored]?.truncated === true);
  return { truncated, outputs_withheld: visible !== "full" };
}

function connectionsToWire({ phase, network }: ResultStored["phases"][number]) {
  return (network ?? []).map(
    ({ bytesUp, bytesDown, ...line }): v.InferOutput<typeof connectionsWire> => ({
      phase,
      ...line,
      bytes_up: bytesUp,
      bytes_down: bytesDown,
    }),
  );
}

function phaseToWire(record: ResultStored["phases"][number]): v.InferOutput<typeof phaseWire> {
  return {
    phase: record.phase,
    duration_ms: record.durationMs,
    cached: record.cached,
    outcome: record.outcome?.kind === undefined ? null : snakeCase(record.outcome.kind),
    exit_code: record.outcome?.exitCode ?? null,
    cpu_ms: record.usage?.cpuMs ?? null,
    memory_peak_bytes: record.usage?.memoryPeakBytes ?? null,
  };
}

/** `timedOut` → `timed_out` */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
