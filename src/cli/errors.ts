/** Errors of the command line: one sentence, one next step, one exit code. */
import { AppError, type ErrorCode } from "../kernel/errors.ts";
import { type ExitName, exitCodes } from "./exit-codes.ts";
import { harmless } from "./terminal.ts";

/** Ends the command with a message a person can act on. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly exit: ExitName;
  /** what to do about it, as a clause or command */
  readonly next: string | undefined;

  constructor(exit: ExitName, message: string, next?: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.exit = exit;
    this.next = next;
  }
}

const exitOfCode: Partial<Record<ErrorCode, ExitName>> = {
  invalid_config: "config",
  data_dir_locked: "file",
  // What a server refuses comes as a CliError: these are of local folders and files.
  invalid_request: "file",
  extraction_failed: "file",
  conflict: "file",
  image_missing: "missing",
  internal: "internal",
};

/** The exit code that `error` leads to. */
export function exitOf(error: unknown): ExitName {
  if (error instanceof CliError) return error.exit;
  if (error instanceof AppError) return exitOfCode[error.code] ?? (error.isPlatformFault ? "unreachable" : "refused");
  return "internal";
}

/** Lines for stderr. Stacks only for what nobody foresaw; text of others is made harmless for the terminal. */
export function describeError(error: unknown): string {
  if (error instanceof CliError) {
    return `proctor: ${harmless(error.message)}${error.next === undefined ? "" : `\nnext: ${harmless(error.next)}`}`;
  }
  if (error instanceof AppError) return `proctor: ${harmless(error.message)}`;
  const shown = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `proctor: unexpected error\n${harmless(shown)}`;
}

/** The number to exit with. */
export function exitCodeOf(error: unknown): number {
  return exitCodes[exitOf(error)].code;
}
