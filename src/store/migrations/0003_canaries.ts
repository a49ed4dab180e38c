/** Which test runners a canary was seen to work with. */
import type { NumberedMigration } from "./migration.ts";

export const canaries: NumberedMigration = {
  number: 3,
  name: "canaries",
  statements: ["alter table sanity add column guards text not null default '[]'"],
};
