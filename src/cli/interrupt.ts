/** SIGINT and SIGTERM as one AbortSignal. */
import { CliError } from "./errors.ts";

/** npm and the terminal both pass Ctrl-C on: what comes so soon after the first is the same keypress. */
const ECHO_MS = 1_000;

/**
 * Aborts at the first SIGINT or SIGTERM; a second one, later than its echo, ends the process at once. Disposing gives the
 * signals back to the system.
 */
export function onInterrupt(): { readonly signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  let firstAtMs = 0;
  const listen = (name: "SIGINT" | "SIGTERM") => () => {
    if (!controller.signal.aborted) {
      firstAtMs = performance.now();
      const exit = name === "SIGINT" ? "interrupted" : "terminated";
      controller.abort(new CliError(exit, `ended by ${name}`));
    } else if (performance.now() - firstAtMs > ECHO_MS) {
      process.exit(name === "SIGINT" ? 130 : 143);
    }
  };
  const listeners = { SIGINT: listen("SIGINT"), SIGTERM: listen("SIGTERM") };
  process.on("SIGINT", listeners.SIGINT).on("SIGTERM", listeners.SIGTERM);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      process.off("SIGINT", listeners.SIGINT).off("SIGTERM", listeners.SIGTERM);
    },
  };
}
