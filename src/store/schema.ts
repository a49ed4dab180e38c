/** Row shapes of every table, as Kysely sees them. The migrations are the truth; this file follows them. */
import type { ColumnType, Generated } from "kysely";
import type { BatchStatus, Reason, TaskStatus, Verdict } from "../kernel/outcome.ts";

/** Read as Date, written as Date. */
type Timestamp = ColumnType<Date, Date, Date>;
type NullableTimestamp = ColumnType<Date | null, Date | null | undefined, Date | null>;
/** jsonb: read parsed, written as JSON text. */
type JsonColumn<T> = ColumnType<T, string, string>;
/** bigint: read as text by both drivers (parse with Number where bounded). */
type BigIntColumn = ColumnType<string | number, number, number>;

export interface ArchiveTable {
  digest: string;
  size_bytes: BigIntColumn;
  task_count: number;
  /** blob of the JSON of Submission */
  submission_blob: string;
  created_at: Timestamp;
}

export interface BatchTable {
  batch_id: string;
  archive_digest: string;
  status: BatchStatus;
  error: string | null;
  total_tasks: number;
  /** tasks of this batch that may run at once */
  concurrent_tasks: number;
  completed_tasks: Generated<number>;
  passed_tasks: Generated<number>;
  failed_tasks: Generated<number>;
  reward_sum: Generated<number>;
  results_hash: string | null;
  /** where its tasks stand in the fair order of claims; null until it runs (scheduling/fair-order.ts) */
  claim_base: Generated<number | null>;
  /** from start to end by a clock that doesn't jump; null until the end */
  duration_ms: Generated<number | null>;
  created_at: Timestamp;
  /** when its quorum was reached and its tasks were recorded; null while it gathers votes */
  opened_at: NullableTimestamp;
  started_at: NullableTimestamp;
  finished_at: NullableTimestamp;
  last_progress_at: Timestamp;
  /** last sequence number in the journal; 0 before the first event */
  head_seq: Generated<number>;
  /** hash of the journal's last entry; 64 zeros before the first */
  head_hash: Generated<string>;
}

export interface BallotTable {
  batch_id: string;
  archive_digest: string;
  state: "open" | "reached" | "expired";
  /** public key hex of the first voter */
  opened_by: string;
  opened_at: Timestamp;
  expires_at: Timestamp;
}

export interface VoteTable {
  batch_id: string;
  /** public key hex */
  voter: string;
  hotkey: string;
  nonce: string;
  signature: string;
  signature_version: number;
  concurrent_tasks: number | null;
  cast_at: Timestamp;
}

export interface NonceTable {
  voter: string;
  nonce: string;
  spent_at: Timestamp;
}

/** Keys that have submitted with version 2 and may not go back. */
export interface SignerTable {
  voter: string;
  min_version: number;
  updated_at: Timestamp;
}

export interface TaskTable {
  batch_id: string;
  task_id: string;
  ordinal: number;
  status: TaskStatus;
  passed: boolean | null;
  verdict: Verdict | null;
  reason: Reason | null;
  reward: Generated<number>;
  error: string | null;
  /** number of the newest attempt; 0 before the first */
  attempt: Generated<number>;
  /** job in the queue that will run its next attempt, or runs its present one */
  job_id: Generated<string | null>;
  /** blob of the JSON of its TaskSpec and AgentSpec; null until its batch was read */
  spec_blob: Generated<string | null>;
  /** TaskResult without its long texts */
  result: JsonColumn<Record<string, unknown>> | null;
  agent_output_blob: string | null;
  test_output_blob: string | null;
  agent_patch_blob: string | null;
  /** of the attempt that gave the verdict, by a clock that doesn't jump; null until the end */
  duration_ms: Generated<number | null>;
  started_at: NullableTimestamp;
  finished_at: NullableTimestamp;
}

export interface AttemptTable {
  batch_id: string;
  task_id: string;
  attempt: number;
  owner: string;
  state: "running" | "judged" | "fault" | "lost";
  /** what the platform failed to do */
  fault: string | null;
  started_at: Timestamp;
  ended_at: NullableTimestamp;
}

export interface JournalTable {
  batch_id: string;
  seq: number;
  at: Timestamp;
  event: string;
  task_id: string | null;
  /** canonical JSON text of the event's data; text, so that the hashed bytes are the stored bytes */
  data: string;
  /** SHA-256 over the previous entry's hash and this entry */
  hash: string;
}

export interface EnvironmentTable {
  key: string;
  image: string;
  image_id: string;
  size_bytes: BigIntColumn;
  base_commit: string;
  tree_hash: string;
  /** what to tell a person of an install that was not whole; null: it was */
  install_error: Generated<string | null>;
  created_at: Timestamp;
  last_used_at: Timestamp;
}

/** Whether a task tells a solution from none, by environment and content of the task. */
export interface SanityTable {
  environment_key: string;
  task_digest: string;
  is_sound: boolean;
  has_reference: boolean;
  detail: string;
  /** JSON array of paths */
  self_changed: string;
  /** JSON array of test runners */
  guards: Generated<string>;
  checked_at: Timestamp;
}

/** Small facts of this installation: `instance_id`. */
export interface MetaTable {
  key: string;
  value: string;
}

export interface Tables {
  archives: ArchiveTable;
  batches: BatchTable;
  ballots: BallotTable;
  votes: VoteTable;
  nonces: NonceTable;
  signers: SignerTable;
  tasks: TaskTable;
  attempts: AttemptTable;
  journal: JournalTable;
  environments: EnvironmentTable;
  sanity: SanityTable;
  meta: MetaTable;
}
