/** The loop that lets waiting batches begin. */
import { AppError } from "../kernel/errors.ts";
import type { BlobStore } from "../store/port.ts";
import type { Core } from "./core.ts";
import { endEarly } from "./ending.ts";
import type { SchedulerLogger } from "./hooks.ts";
import { keepSpecs, startBatch, takeNext } from "./opening.ts";
import { faultForReaders } from "./retry-policy.ts";
import { Wake } from "./wake.ts";

const LOOP_RETRY_MS = 1_000;
/** Tries to read one submission before its batch is `failed`; a store that is away doesn't count. */
const READS_MAX = 5;

export interface DispatcherOptions {
  readonly core: Core;
  readonly blobs: BlobStore;
  readonly activeMax: number;
  readonly logger: SchedulerLogger | undefined;
}

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #wake: Wake;
  /** batches in `extracting`, and how often reading them has failed */
  readonly #extracting = new Map<string, number>();

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#wake = new Wake(options.core.clock);
  }

  wake(): void {
    this.#wake.now();
  }

  /** Batches that a dead process had begun to read. */
  resume(batchIds: readonly string[]): void {
    for (const batchId of batchIds) this.#extracting.set(batchId, 0);
  }

  /** Runs until `signal` aborts; never rejects. */
  async run(signal: AbortSignal, pollMs: number): Promise<void> {
    const { core, activeMax, logger } = this.#options;
    while (!signal.aborted) {
      try {
        for (const batchId of [...this.#extracting.keys()]) await this.#begin(batchId);
        const next = await takeNext(core, activeMax);
        if (next === undefined) await this.#wake.wait(pollMs, signal);
        else this.#extracting.set(next, 0);
      } catch (error) {
        logger?.warn({ err: String(error) }, "dispatching waits: the store doesn't answer");
        await core.clock.sleep(LOOP_RETRY_MS, signal).catch(() => undefined);
      }
    }
  }

  async #begin(batchId: string): Promise<void> {
    const { core, blobs, logger } = this.#options;
    let specs: ReadonlyMap<string, string>;
    try {
      specs = await keepSpecs(core, blobs, batchId);
    } catch (error) {
      if (error instanceof AppError && error.code === "store_unavailable") throw error;
      const reads = (this.#extracting.get(batchId) ?? 0) + 1;
      this.#extracting.set(batchId, reads);
      if (error instanceof AppError && error.isRetryable && reads < READS_MAX) throw error;
      logger?.error({ batch: batchId, err: String(error) }, "batch can't be run: its submission can't be read");
      await endEarly(core, batchId, {
        kind: "fail",
        batchError: "the kept submission can't be read; submit the archive again",
        taskError: faultForReaders(error, reads),
      });
      this.#extracting.delete(batchId);
      return;
    }
    core.timers.start(batchId);
    if (await startBatch(core, batchId, specs)) logger?.info({ batch: batchId }, "batch started");
    else core.timers.forget(batchId);
    this.#extracting.delete(batchId);
  }
}
