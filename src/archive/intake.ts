/**
 * The submit door's one call after authentication: receive, read, keep, vote.
 *
 * An archive is read and kept once per digest, however many vote for it: the first upload of a digest reads it and writes
 * its `archives` row, later ones find the row, and two at the same moment share one reading. An archive that is refused
 * leaves nothing: no vote, no row, no blob, no spool file.
 */
import type { Readable } from "node:stream";
import pLimit from "p-limit";
import type { Ballots, Caller, VoteResult } from "../admission/port.ts";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { Digest } from "../kernel/ids.ts";
import { limits } from "../kernel/limits.ts";
import type { BlobStore, Store } from "../store/port.ts";
import { keepSubmission, submissionOf } from "./keep.ts";
import { readSubmission } from "./read-submission.ts";
import type { Submission } from "./submission.ts";
import type { RepoRules } from "./task/repo-url.ts";
import type { ReceivedArchive, Receiver } from "./upload.ts";

export interface IntakeDeps {
  readonly receiver: Receiver;
  readonly store: Store;
  readonly blobs: BlobStore;
  readonly ballots: Ballots;
  readonly rules: RepoRules;
  /** WORKSPACE_BASE */
  readonly folder: string;
  readonly clock: Clock;
}

export interface SubmitInput {
  readonly caller: Caller;
  readonly body: Readable;
  readonly headers: {
    readonly "content-type"?: string | undefined;
    readonly "content-length"?: string | undefined;
    readonly "content-encoding"?: string | undefined;
  };
  readonly concurrentTasks: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SubmitResult extends VoteResult {
  readonly archiveDigest: Digest;
}

export interface Intake {
  /** @throws AppError rows 7–13 of the contract; the signal's reason after an abort */
  receiveSubmission(input: SubmitInput): Promise<SubmitResult>;
}

export function createIntake(deps: IntakeDeps): Intake {
  const limit = pLimit(limits.archiveReadsAtOnceMax);
  // One at a time: what a failed keeping removes must not be an agent that another archive has just counted on.
  const keeping = pLimit(1);
  const underWay = new Map<Digest, Promise<Submission>>();

  const readAndKeep = async (archive: ReceivedArchive, signal: AbortSignal | undefined): Promise<Submission> => {
    const { rules, folder, clock } = deps;
    await using read = await readSubmission(archive, { rules, folder, clock, signal });
    await keeping(() => keepSubmission(deps.store, deps.blobs, archive, read, new Date(clock.now())));
    return read.submission;
  };

  /** Reads and keeps an archive that isn't known yet; callers of one digest at the same time share the work. */
  const submissionFor = async (archive: ReceivedArchive, signal: AbortSignal | undefined): Promise<Submission> => {
    const known = await submissionOf(deps.store, deps.blobs, archive.digest);
    if (known !== undefined && (await deps.blobs.has(known.agent.digest))) return known;
    const shared = underWay.get(archive.digest);
    if (shared !== undefined) {
      try {
        return await shared;
      } catch (error) {
        // The archive's own fault is everyone's; the other caller going away is not.
        if (error instanceof AppError && error.code === "extraction_failed") throw error;
        return await submissionFor(archive, signal);
      }
    }
    const work = limit(() => readAndKeep(archive, signal));
    underWay.set(archive.digest, work);
    try {
      return await work;
    } finally {
      underWay.delete(archive.digest);
    }
  };

  return {
    async receiveSubmission(input) {
      const { caller, headers, signal } = input;
      await using archive = await deps.receiver.receive({
        body: input.body,
        contentType: headers["content-type"],
        contentLength: headers["content-length"],
        contentEncoding: headers["content-encoding"],
        bodyDigest: caller.bodyDigest,
        signal,
      });
      await deps.ballots.checkRoom(caller.publicKey, archive.digest);
      const submission = await submissionFor(archive, signal);
      signal?.throwIfAborted();
      const vote = await deps.ballots.cast({ caller, submission, concurrentTasks: input.concurrentTasks });
      return { ...vote, archiveDigest: archive.digest };
    },
  };
}
