/** What was found out about tasks before anyone was judged by them, and environments whose install was not whole. */
import type { NumberedMigration } from "./migration.ts";

const DIGEST = "~ '^[0-9a-f]{64}$'";

export const sanity: NumberedMigration = {
  number: 2,
  name: "sanity",
  statements: [
    "alter table environments add column install_error text",
    // No foreign key: what is found out of an environment that is being evicted is of no use, and no error either.
    `create table sanity (
      environment_key text not null check (environment_key ${DIGEST}),
      task_digest text not null check (task_digest ${DIGEST}),
      is_sound boolean not null,
      has_reference boolean not null,
      detail text not null,
      self_changed text not null,
      checked_at timestamptz not null,
      primary key (environment_key, task_digest)
    )`,
  ],
};
