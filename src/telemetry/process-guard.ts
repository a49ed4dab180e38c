/**
 * A mistake of ours in one corner must not take the other tasks' work along. A promise that was rejected with nobody
 * waiting is logged as an error, with its stack, and the process goes on; an exception that nobody caught leaves state in
 * doubt, so it is logged and the process ends: what ran is given back at the next start.
 */
import type { Logger } from "./logger.ts";

const EXIT_CODE = 70;

/** Installs both for this process. @returns removes them again */
export function guardProcess(logger: Logger): () => void {
  const onRejection = (reason: unknown) => logger.error({ err: reason }, "a rejected promise had nobody waiting");
  const onException = (error: Error) => {
    logger.error({ err: error }, "uncaught exception; ending");
    process.exit(EXIT_CODE);
  };
  process.on("unhandledRejection", onRejection).on("uncaughtException", onException);
  return () => {
    process.off("unhandledRejection", onRejection).off("uncaughtException", onException);
  };
}
