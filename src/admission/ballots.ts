/**
 * Ballots: from votes to a quorum.
 *
 * Theory of operation. One archive digest has at most one open ballot (a unique index holds that), and every vote on an
 * archive passes under that archive's advisory lock, so votes are counted one after another and the one that completes
 * the quorum is exactly one. Vote and (at quorum) the opened batch stand in one transaction. Votes are no events: each is a
 * row with its signature, and what followers hear of a batch begins with `batch_started`.
 *
 *   none ──first vote──▶ open ──quorum, room in the queue──▶ reached    batch opens
 *                         │ └──quorum, queue full──▶ open (vote kept, time extended), caller told `busy`
 *                         └──CONSENSUS_TTL_SECS──▶ expired              batch `failed`, consensus_expired
 *
 * A reached ballot answers every later submission of its archive with the same batch while that waits, runs or is kept
 * with its verdicts. After an expired ballot, or a batch that failed or was cancelled and so has no verdicts, the next
 * vote opens a new ballot with a new batch id. A ballot with its quorum complete waits for the queue, not for votes: each
 * `busy` gives it its time again, so that it is not lost between two tries.
 *
 * Time is the clock's at start plus what the monotonic clock says since: a jump of the wall clock ends no ballot early.
 */
import type { Journal } from "../journal/port.ts";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { BatchId, Digest } from "../kernel/ids.ts";
import type { Store, Tx } from "../store/port.ts";
import { clampConcurrency, roomForBallot, votesNeeded } from "./ballot-rules.ts";
import type { BallotRecord } from "./ballot-store.ts";
import * as rows from "./ballot-store.ts";
import type { Ballots, BatchOpener, Caller, ValidatorSet, ValidatorSnapshot, VoteInput, VoteResult } from "./port.ts";

const EXPIRE_PAGE_COUNT = 100;
const BUSY_RETRY_SECS = 5;

export interface BallotOptions {
  readonly store: Store;
  readonly journal: Journal;
  readonly opener: BatchOpener;
  readonly validators: ValidatorSet;
  readonly clock: Clock;
  /** CONSENSUS_THRESHOLD, in (0, 1] */
  readonly threshold: number;
  /** CONSENSUS_MIN_VOTES */
  readonly minVotes: number;
  /** CONSENSUS_TTL_SECS × 1000 */
  readonly ttlMs: number;
  /** MAX_PENDING_CONSENSUS */
  readonly capacity: number;
  /** MAX_CONCURRENT_TASKS */
  readonly concurrentTasksMax: number;
}

type Cast = { readonly kind: "counted"; readonly result: VoteResult } | { readonly kind: "busy" };

export function createBallots(options: BallotOptions): Ballots {
  return new StoredBallots(options);
}

class StoredBallots implements Ballots {
  readonly #options: BallotOptions;
  readonly #startedAtMs: number;
  readonly #startedMonotonicMs: number;

  constructor(options: BallotOptions) {
    this.#options = options;
    this.#startedAtMs = options.clock.now();
    this.#startedMonotonicMs = options.clock.monotonicMs();
  }

  async checkRoom(voter: Caller["publicKey"], digest: Digest): Promise<void> {
    const { db } = this.#options.store;
    const now = this.#now();
    const ballot = await rows.findNewestBallot(db, digest);
    if (ballot !== undefined && (isKept(ballot) || isOpen(ballot, now))) return;
    this.#refuseWithoutRoom(await rows.countOpenByKey(db, now), voter, this.#snapshot());
  }

  async cast(input: VoteInput): Promise<VoteResult> {
    const cast = await this.#options.store.transaction((tx) => this.#cast(tx, input));
    // Thrown only now, after the commit: the vote is kept.
    if (cast.kind === "busy") {
      throw new AppError("busy", "A batch is already running. Wait for it to complete.", {
        details: { retry_after_secs: BUSY_RETRY_SECS },
      });
    }
    return cast.result;
  }

  async expireDue(): Promise<number> {
    const { store } = this.#options;
    let count = 0;
    for (const due of await rows.listDue(store.db, this.#now(), EXPIRE_PAGE_COUNT)) {
      const isExpired = await store.transaction(async (tx) => {
        await rows.lockArchive(tx, due.digest);
        const ballot = await rows.lockNewestBallot(tx, due.digest);
        // Since the page was read it may have been extended, reached its quorum, or ended.
        const isDue = ballot?.batchId === due.batchId && ballot.state === "open" && !isOpen(ballot, this.#now());
        return isDue && this.#expire(tx, due.batchId);
      });
      if (isExpired) count++;
    }
    return count;
  }

  async #cast(tx: Tx, input: VoteInput): Promise<Cast> {
    await rows.lockArchive(tx, input.submission.archiveDigest);
    const now = this.#now();
    const ballot = await rows.lockNewestBallot(tx, input.submission.archiveDigest);
    if (ballot !== undefined && isKept(ballot)) return this.#joinReached(tx, ballot, input, now);
    if (ballot !== undefined && isOpen(ballot, now)) return this.#count(tx, ballot.batchId, input, now);
    if (ballot?.state === "open") await this.#expire(tx, ballot.batchId);
    return this.#count(tx, await this.#openBallot(tx, input, now), input, now);
  }

  /** A vote on what was decided already: kept as proof, changes nothing. */
  async #joinReached(tx: Tx, ballot: BallotRecord, input: VoteInput, now: Date): Promise<Cast> {
    const isNew = await rows.insertVote(tx, ballot.batchId, input.caller, input.concurrentTasks, now);
    const votes = (await rows.listVoters(tx, ballot.batchId)).length;
    const eligible = this.#snapshot().keys.size;
    const result: VoteResult = {
      state: "started",
      batchId: ballot.batchId,
      votes,
      // The set may have grown since; what was reached stays reached.
      required: Math.min(votes, this.#required(eligible)),
      totalValidators: eligible,
      totalTasks: ballot.totalTasks,
      concurrentTasks: ballot.concurrentTasks,
      repeated: !isNew,
    };
    return { kind: "counted", result };
  }

  async #openBallot(tx: Tx, input: VoteInput, now: Date): Promise<BatchId> {
    await rows.lockCapacity(tx);
    const voter = input.caller.publicKey;
    this.#refuseWithoutRoom(await rows.countOpenByKey(tx, now), voter, this.#snapshot());
    return rows.insertBallot(tx, input.submission, voter, now, this.#deadline(now));
  }

  async #count(tx: Tx, batchId: BatchId, input: VoteInput, now: Date): Promise<Cast> {
    const { opener, concurrentTasksMax } = this.#options;
    const { submission } = input;
    const isNew = await rows.insertVote(tx, batchId, input.caller, input.concurrentTasks, now);
    const { keys } = this.#snapshot();
    // Counted anew each time: a key that has left the set no longer counts, one that came back does.
    const votes = (await rows.listVoters(tx, batchId)).filter((voter) =>
      (keys as ReadonlySet<string>).has(voter),
    ).length;
    const required = this.#required(keys.size);

    const totals = { batchId, votes, required, totalValidators: keys.size, totalTasks: submission.tasks.length };
    const pending: VoteResult = { state: "pending", ...totals, concurrentTasks: 0, repeated: !isNew };
    if (votes < required) return { kind: "counted", result: pending };
    if (!(await opener.hasRoom(tx, submission.tasks.length))) {
      await rows.extendBallot(tx, batchId, this.#deadline(now));
      return { kind: "busy" };
    }
    const concurrentTasks = clampConcurrency(input.concurrentTasks, concurrentTasksMax);
    if (!(await rows.markReached(tx, batchId, concurrentTasks, now))) {
      throw new AppError("conflict", `ballot ${batchId} ended while this vote was counted; submit again`);
    }
    await opener.open(tx, batchId, submission, concurrentTasks);
    return { kind: "counted", result: { ...pending, state: "started", concurrentTasks } };
  }

  async #expire(tx: Tx, batchId: BatchId): Promise<boolean> {
    const now = this.#now();
    if (!(await rows.markExpired(tx, batchId))) return false;
    const batch = await rows.failWaitingBatch(tx, batchId, now);
    if (batch === undefined) return true;
    const data = {
      status: "failed",
      total: batch.totalTasks,
      passed: 0,
      failed: 0,
      reward: 0,
      duration_ms: Math.max(0, now.getTime() - batch.createdAt.getTime()),
      error: "consensus_expired",
    };
    await this.#options.journal.append(tx, batchId, [{ event: "batch_complete", data }]);
    return true;
  }

  #refuseWithoutRoom(openByKey: ReadonlyMap<string, number>, voter: Caller["publicKey"], set: ValidatorSnapshot): void {
    const room = roomForBallot(openByKey, voter, set.keys, this.#options.capacity);
    if (room === "room") return;
    throw new AppError("too_many_pending", "Too many pending consensus entries. Please retry later.", {
      details: { reason: room, limit: this.#options.capacity },
    });
  }

  #snapshot(): ValidatorSnapshot {
    const snapshot = this.#options.validators.current();
    if (snapshot !== undefined) return snapshot;
    throw new AppError("whitelist_not_ready", "Validator whitelist not yet initialized. Please retry shortly.");
  }

  #required(eligibleCount: number): number {
    return votesNeeded(eligibleCount, this.#options.threshold, this.#options.minVotes);
  }

  #now(): Date {
    return new Date(this.#startedAtMs + Math.floor(this.#options.clock.monotonicMs() - this.#startedMonotonicMs));
  }

  #deadline(now: Date): Date {
    return new Date(now.getTime() + this.#options.ttlMs);
  }
}

/** Whether votes still count: in time, and nobody has cancelled the waiting batch. */
function isOpen(ballot: BallotRecord, now: Date): boolean {
  return ballot.state === "open" && ballot.status === "pending" && ballot.expiresAt > now;
}

/** Whether the archive's quorum has been reached and its batch waits, runs or has its verdicts. */
function isKept(ballot: BallotRecord): boolean {
  return ballot.state === "reached" && ballot.status !== "failed" && ballot.status !== "cancelled";
}
