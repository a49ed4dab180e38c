/** When a task that the platform failed is tried again. */
import { AppError, isRetryable } from "../kernel/errors.ts";

export interface RetryPolicy {
  /** attempts that may end in a platform fault */
  readonly faultsMax: number;
  /** attempts that may be lost to restarts of ours */
  readonly lossesMax: number;
  readonly firstDelayMs: number;
  readonly delayMsMax: number;
}

export const defaultRetryPolicy: RetryPolicy = {
  faultsMax: 5,
  lossesMax: 20,
  firstDelayMs: 1_000,
  delayMsMax: 60_000,
};

/**
 * Exponential back-off with jitter: half of the delay is certain, half is drawn, so that tasks that failed together
 * don't come back together.
 * @param faultCount faults so far, from 1
 * @param random in [0, 1)
 * @returns ms
 */
export function retryDelayMs(policy: RetryPolicy, faultCount: number, random: number): number {
  const full = Math.min(policy.delayMsMax, policy.firstDelayMs * 2 ** Math.min(30, Math.max(0, faultCount - 1)));
  return Math.round(full / 2 + (full / 2) * random);
}

/** Code of a fault: what events and meters say. */
export function faultCode(error: unknown): string {
  return error instanceof AppError ? error.code : "internal";
}

/** Whether another attempt can help. */
export function canRetry(error: unknown): boolean {
  return isRetryable(error);
}

/** For the operator (attempts.fault): bounded, whatever an engine put into its message. */
export function faultForOperators(error: unknown): string {
  const text =
    error instanceof Error ? `${faultCode(error)}: ${error.message}` : `${faultCode(error)}: ${String(error)}`;
  return text.replaceAll("\0", "").toWellFormed().slice(0, 2_000);
}

/** For everybody (tasks.error): says what it means, and nothing of the inside. */
export function faultForReaders(error: unknown, attempts: number): string {
  const times = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  return `the platform could not run this task (${faultCode(error)}, ${times}); it was not scored`;
}
