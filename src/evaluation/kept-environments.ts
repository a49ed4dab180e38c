/** The record of kept environments, as evaluation needs it; the store's table is behind it. */
import type { Store } from "../store/port.ts";
import {
  deleteEnvironment,
  findEnvironment,
  listEnvironments,
  putEnvironment,
  touchEnvironment,
} from "../store/tables/environments.ts";
import { deleteSanityOf } from "../store/tables/sanity.ts";

export interface KeptEnvironment {
  /** content key, see environment-key.ts */
  readonly key: string;
  /** name of the image on the engine */
  readonly image: string;
  /** content id of the image */
  readonly imageId: string;
  readonly sizeBytes: number;
  readonly baseCommit: string;
  readonly treeHash: string;
  /** what to tell a person where the install was not whole: the task is judged only if it is sound all the same */
  readonly installError?: string;
}

export interface KeptEnvironments {
  find(key: string): Promise<KeptEnvironment | undefined>;
  put(environment: KeptEnvironment, at: Date): Promise<void>;
  touch(key: string, at: Date): Promise<void>;
  /** least recently used first, at most `limitCount` */
  list(limitCount: number): Promise<readonly KeptEnvironment[]>;
  remove(key: string): Promise<void>;
}

type Row = NonNullable<Awaited<ReturnType<typeof findEnvironment>>>;

export function keptEnvironments(store: Store): KeptEnvironments {
  return {
    find: async (key) => {
      const row = await findEnvironment(store.db, key);
      return row === undefined ? undefined : fromRow(row);
    },
    put: (environment, at) =>
      putEnvironment(store.db, {
        key: environment.key,
        image: environment.image,
        image_id: environment.imageId,
        size_bytes: environment.sizeBytes,
        base_commit: environment.baseCommit,
        tree_hash: environment.treeHash,
        install_error: storable(environment.installError),
        created_at: at,
        last_used_at: at,
      }),
    touch: (key, at) => touchEnvironment(store.db, key, at),
    list: async (limitCount) => (await listEnvironments(store.db, limitCount)).map(fromRow),
    remove: async (key) => {
      await deleteEnvironment(store.db, key);
      // What was found in it holds for its making, and not for the next one's.
      await deleteSanityOf(store.db, key);
    },
  };
}

/** PostgreSQL's text holds no NUL. */
function storable(text: string | undefined): string | null {
  return text === undefined ? null : text.replaceAll("\0", "\ufffd").toWellFormed();
}

function fromRow(row: Row): KeptEnvironment {
  return {
    key: row.key,
    image: row.image,
    imageId: row.image_id,
    sizeBytes: Number(row.size_bytes),
    baseCommit: row.base_commit,
    treeHash: row.tree_hash,
    ...(row.install_error === null ? {} : { installError: row.install_error }),
  };
}
