/** The record of which tasks are sound, as evaluation needs it; the store's table is behind it. */
import type { Store } from "../store/port.ts";
import { findSanity, putSanity } from "../store/tables/sanity.ts";

export interface SanityRecord {
  readonly isSound: boolean;
  /** whether the reference solution was tried, and not only the base */
  readonly hasReference: boolean;
  /** why it is not sound, or what was noted of a sound one; may be empty */
  readonly detail: string;
  /** hidden tests that the task's own commands change while they run: no cheat when they do it again */
  readonly selfChanged: readonly string[];
  /** test runners with which a canary was seen to work, see canary.ts */
  readonly guards: readonly string[];
  /** wall clock, ms */
  readonly checkedAtMs: number;
}

export interface SanityRecords {
  find(environmentKey: string, taskDigest: string): Promise<SanityRecord | undefined>;
  put(environmentKey: string, taskDigest: string, record: SanityRecord): Promise<void>;
}

export function sanityRecords(store: Store): SanityRecords {
  return {
    find: async (environmentKey, taskDigest) => {
      const row = await findSanity(store.db, environmentKey, taskDigest);
      if (row === undefined) return undefined;
      return {
        isSound: row.is_sound,
        hasReference: row.has_reference,
        detail: row.detail,
        // Written below in this very shape.
        selfChanged: JSON.parse(row.self_changed) as string[],
        guards: JSON.parse(row.guards) as string[],
        checkedAtMs: row.checked_at.getTime(),
      };
    },
    put: (environmentKey, taskDigest, record) =>
      putSanity(store.db, {
        environment_key: environmentKey,
        task_digest: taskDigest,
        is_sound: record.isSound,
        has_reference: record.hasReference,
        // PostgreSQL's text holds no NUL, and file names may be anything but.
        detail: record.detail.replaceAll("\0", "\ufffd").toWellFormed(),
        self_changed: JSON.stringify(record.selfChanged),
        guards: JSON.stringify(record.guards),
        checked_at: new Date(record.checkedAtMs),
      }),
  };
}
