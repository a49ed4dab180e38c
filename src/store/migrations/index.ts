/** Every migration, in order. A static list: a build and a packaged server hold the same ones. */
import { initial } from "./0001_initial.ts";
import { sanity } from "./0002_sanity.ts";
import { canaries } from "./0003_canaries.ts";
import type { NumberedMigration } from "./migration.ts";

export const migrations: readonly NumberedMigration[] = [initial, sanity, canaries];
