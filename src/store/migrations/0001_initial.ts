/** The first schema: who voted for what, what is to be done, what was done, and what happened. */
import type { NumberedMigration } from "./migration.ts";

const DIGEST = "~ '^[0-9a-f]{64}$'";

export const initial: NumberedMigration = {
  number: 1,
  name: "initial",
  statements: [
    `create table archives (
      digest text primary key check (digest ${DIGEST}),
      size_bytes bigint not null check (size_bytes >= 0),
      task_count integer not null check (task_count >= 0),
      submission_blob text not null check (submission_blob ${DIGEST}),
      created_at timestamptz not null
    )`,

    `create table batches (
      batch_id uuid primary key,
      archive_digest text not null references archives (digest),
      status text not null
        check (status in ('pending', 'extracting', 'running', 'completed', 'failed', 'cancelled')),
      error text,
      total_tasks integer not null check (total_tasks >= 0),
      concurrent_tasks integer not null check (concurrent_tasks >= 0),
      completed_tasks integer not null default 0 check (completed_tasks between 0 and total_tasks),
      passed_tasks integer not null default 0 check (passed_tasks between 0 and completed_tasks),
      failed_tasks integer not null default 0 check (failed_tasks between 0 and completed_tasks),
      reward_sum double precision not null default 0 check (reward_sum >= 0),
      results_hash text check (results_hash ${DIGEST}),
      claim_base integer,
      duration_ms double precision check (duration_ms >= 0),
      created_at timestamptz not null,
      opened_at timestamptz,
      started_at timestamptz,
      finished_at timestamptz,
      last_progress_at timestamptz not null,
      head_seq integer not null default 0 check (head_seq >= 0),
      head_hash text not null default repeat('0', 64) check (head_hash ${DIGEST})
    )`,
    "create index batches_newest on batches (created_at desc, batch_id desc)",
    "create index batches_by_archive on batches (archive_digest, created_at desc)",
    // Only batches that still have something to do: small however long the history is.
    `create index batches_unfinished on batches (opened_at, batch_id)
      where status in ('pending', 'extracting', 'running') and opened_at is not null`,

    `create table ballots (
      batch_id uuid primary key references batches (batch_id) on delete cascade,
      archive_digest text not null references archives (digest),
      state text not null check (state in ('open', 'reached', 'expired')),
      opened_by text not null check (opened_by ${DIGEST}),
      opened_at timestamptz not null,
      expires_at timestamptz not null
    )`,
    "create unique index ballots_one_open on ballots (archive_digest) where state = 'open'",
    "create index ballots_due on ballots (expires_at) where state = 'open'",
    "create index ballots_open_by on ballots (opened_by) where state = 'open'",
    "create index ballots_by_archive on ballots (archive_digest, opened_at desc)",

    `create table votes (
      batch_id uuid not null references ballots (batch_id) on delete cascade,
      voter text not null check (voter ${DIGEST}),
      hotkey text not null,
      nonce text not null,
      signature text not null,
      signature_version integer not null check (signature_version in (1, 2)),
      concurrent_tasks integer check (concurrent_tasks >= 1),
      cast_at timestamptz not null,
      primary key (batch_id, voter)
    )`,

    `create table nonces (
      voter text not null check (voter ${DIGEST}),
      nonce text not null,
      spent_at timestamptz not null,
      primary key (voter, nonce)
    )`,

    `create table signers (
      voter text primary key check (voter ${DIGEST}),
      min_version integer not null check (min_version in (1, 2)),
      updated_at timestamptz not null
    )`,

    `create table tasks (
      batch_id uuid not null references batches (batch_id) on delete cascade,
      task_id text not null,
      ordinal integer not null check (ordinal >= 0),
      status text not null check (status in ('queued', 'cloning_repo', 'installing_deps', 'running_agent',
        'running_tests', 'completed', 'failed', 'cancelled')),
      passed boolean,
      verdict text check (verdict in ('passed', 'failed', 'inconclusive')),
      reason text,
      reward double precision not null default 0 check (reward between 0 and 1),
      error text,
      attempt integer not null default 0 check (attempt >= 0),
      job_id uuid,
      spec_blob text check (spec_blob ${DIGEST}),
      result jsonb,
      agent_output_blob text check (agent_output_blob ${DIGEST}),
      test_output_blob text check (test_output_blob ${DIGEST}),
      agent_patch_blob text check (agent_patch_blob ${DIGEST}),
      duration_ms double precision check (duration_ms >= 0),
      started_at timestamptz,
      finished_at timestamptz,
      primary key (batch_id, task_id),
      unique (batch_id, ordinal),
      -- an ended task has exactly one verdict, and one that has not ended has none
      check ((status in ('completed', 'failed', 'cancelled')) = (verdict is not null)),
      check (passed is not true or (verdict = 'passed' and status = 'completed'))
    )`,
    `create index tasks_unfinished on tasks (batch_id)
      where status not in ('completed', 'failed', 'cancelled')`,

    `create table attempts (
      batch_id uuid not null,
      task_id text not null,
      attempt integer not null check (attempt >= 1),
      owner text not null,
      state text not null check (state in ('running', 'judged', 'fault', 'lost')),
      fault text,
      started_at timestamptz not null,
      ended_at timestamptz,
      primary key (batch_id, task_id, attempt),
      foreign key (batch_id, task_id) references tasks (batch_id, task_id) on delete cascade,
      check ((state = 'running') = (ended_at is null))
    )`,
    // One running attempt of a task at most, whatever the code above believes.
    "create unique index attempts_one_running on attempts (batch_id, task_id) where state = 'running'",
    "create index attempts_by_owner on attempts (owner) where state = 'running'",

    `create table journal (
      batch_id uuid not null references batches (batch_id) on delete cascade,
      seq integer not null check (seq >= 1),
      at timestamptz not null,
      event text not null,
      task_id text,
      data text not null,
      hash text not null check (hash ${DIGEST}),
      primary key (batch_id, seq)
    )`,

    `create table environments (
      key text primary key,
      image text not null,
      image_id text not null,
      size_bytes bigint not null check (size_bytes >= 0),
      base_commit text not null,
      tree_hash text not null,
      created_at timestamptz not null,
      last_used_at timestamptz not null
    )`,
    "create index environments_by_use on environments (last_used_at)",

    "create table meta (key text primary key, value text not null)",
  ],
};
