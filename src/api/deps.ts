/** What the HTTP door needs of the other rooms, as ports: compose.ts brings them, tests bring fakes. */
import type { IncomingHttpHeaders } from "node:http";
import type { Readable } from "node:stream";
import type { Caller, Gate, ValidatorSet, VoteResult } from "../admission/port.ts";
import type { Config } from "../config.ts";
import type { Journal } from "../journal/port.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Digest } from "../kernel/ids.ts";
import type { BlobStore, Store } from "../store/port.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Meters, StoreCounts } from "../telemetry/meters.ts";
import type { Bounds } from "./bounds.ts";

/** An upload whose caller has been authenticated. */
export interface Upload {
  readonly caller: Caller;
  /** raw request body; nobody has read from it. It may be left half read, but never destroyed: its socket carries the answer */
  readonly body: Readable;
  readonly headers: IncomingHttpHeaders;
  /** clamped to 1..MAX_CONCURRENT_TASKS; undefined where the caller did not say */
  readonly concurrentTasks: number | undefined;
  /** aborts when the client goes away before its body is complete, or when the server's time to drain is over */
  readonly signal: AbortSignal;
}

export interface SubmitResult extends VoteResult {
  readonly archiveDigest: Digest;
}

/**
 * Receives the archive, reads it and casts the caller's vote: checks 7–13 of CONTRACT.md.
 * @throws AppError with the contract's code; the door adds the contract's message
 */
export type Submit = (upload: Upload) => Promise<SubmitResult>;

/** Resolves when the named part is ready; its time is held by the caller, who aborts `signal`. */
export type ReadinessCheck = (signal: AbortSignal) => Promise<unknown>;

export interface InstanceInfo {
  /** SS58 of the server's own key: what signatures of version 2 name */
  readonly audience: string;
  readonly version: string;
  /** reference of the sandbox image, and its content id; null where the engine has not been asked or has none */
  readonly image: string;
  readonly imageDigest: () => string | null;
  readonly hostname: string;
}

export interface ApiDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly gate: Gate;
  readonly submit: Submit;
  readonly validators: ValidatorSet;
  readonly store: Store;
  readonly journal: Journal;
  readonly blobs: BlobStore;
  readonly instance: InstanceInfo;
  /** the store's batchCounts */
  readonly counts: () => Promise<StoreCounts>;
  /** further parts that must be ready, e.g. the engine; store and validator set are checked anyway */
  readonly readiness: Readonly<Record<string, ReadinessCheck>>;
  readonly logger: Logger;
  readonly meters: Meters;
  /** tests shorten these */
  readonly bounds?: Partial<Bounds>;
}
