/** What doors and intake ask of admission: who calls, and what a vote led to. */
import type { Submission } from "../archive/submission.ts";
import type { BatchId, Digest, Hotkey, PublicKeyHex } from "../kernel/ids.ts";
import type { Tx } from "../store/port.ts";

/** The head of a signed request, before its body is read. */
export interface SignedHead {
  /** raw header values in order of arrival; a doubled header has two */
  readonly hotkey: readonly string[];
  readonly nonce: readonly string[];
  readonly signature: readonly string[];
  readonly method: string;
  /** path without query, beginning with `/` */
  readonly path: string;
  /** raw `concurrent_tasks` query value, undefined where absent */
  readonly concurrentTasks: string | undefined;
  /** client address after TRUSTED_PROXIES, for the limiter */
  readonly remoteAddress: string;
}

/** A caller whose signature verified and whose nonce is spent. */
export interface Caller {
  readonly publicKey: PublicKeyHex;
  readonly hotkey: Hotkey;
  readonly nonce: string;
  readonly signature: string;
  readonly version: 1 | 2;
  /** version 2: the digest that the signature bound; the body must have it */
  readonly bodyDigest?: Digest;
}

export interface Gate {
  /**
   * Checks 1–6 of CONTRACT.md in order and spends the nonce.
   * @param use `submit`: versions 1 and 2 · `control`: version 2 only
   * @throws AppError with the contract's code and message
   */
  authenticate(head: SignedHead, use: "submit" | "control"): Promise<Caller>;
}

export interface ValidatorSnapshot {
  readonly keys: ReadonlySet<PublicKeyHex>;
  readonly readAtMs: number;
  /** where it came from, e.g. `VALIDATOR_HOTKEYS` or the endpoint's host */
  readonly source: string;
}

/** The validator set: the last good one, or undefined before the first. */
export interface ValidatorSet extends AsyncDisposable {
  current(): ValidatorSnapshot | undefined;
  /** Reads it now. Keeps the last good set when it fails. @throws AppError `chain_unavailable` */
  refresh(signal?: AbortSignal): Promise<ValidatorSnapshot>;
  /** Keeps it fresh until disposed; a failure is logged and counted, never thrown. */
  start(): void;
  /** reason and age of the last failed refresh, while it is the newest */
  failure(): { readonly reason: string; readonly sinceMs: number } | undefined;
}

/** The archive a vote is for, already received, read and kept. */
export interface VoteInput {
  readonly caller: Caller;
  readonly submission: Submission;
  readonly concurrentTasks: number | undefined;
}

export interface VoteResult {
  readonly state: "pending" | "started";
  readonly batchId: BatchId;
  readonly votes: number;
  readonly required: number;
  readonly totalValidators: number;
  readonly totalTasks: number;
  /** tasks of the batch that run at once; 0 while pending */
  readonly concurrentTasks: number;
  /** this key had voted for this ballot before */
  readonly repeated: boolean;
}

export interface Ballots {
  /**
   * Whether a vote of `voter` for `digest` could be taken now: an open ballot or kept batch, or room for a new ballot.
   * Called before the archive is read. @throws AppError `too_many_pending`
   */
  checkRoom(voter: PublicKeyHex, digest: Digest): Promise<void>;
  /**
   * Counts one vote in one transaction; at quorum opens the batch in the same one.
   * @throws AppError `too_many_pending`, or `busy` (the vote is kept all the same)
   */
  cast(input: VoteInput): Promise<VoteResult>;
  /** Ends ballots whose time is up: their batch says `failed`, `consensus_expired`. @returns how many */
  expireDue(): Promise<number>;
}

/** Implemented by scheduling: what a reached quorum starts. */
export interface BatchOpener {
  /** Whether the queue has room for so many tasks more. */
  hasRoom(tx: Tx, taskCount: number): Promise<boolean>;
  /** Records tasks and events of an approved batch in `tx` and wakes the dispatcher when it commits. */
  open(tx: Tx, batchId: BatchId, submission: Submission, concurrentTasks: number): Promise<void>;
}
