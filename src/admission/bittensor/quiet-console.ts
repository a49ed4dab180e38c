/**
 * @polkadot/api prints to the console, with no way to turn that off. Whatever it prints while it works for us goes to
 * our logger instead; everything else on the console passes untouched, told apart by the asynchronous context.
 */
import { AsyncLocalStorage } from "node:async_hooks";

type OnLine = (line: string) => void;
const LINE_CHARS_MAX = 500;
const methods = ["debug", "info", "log", "warn", "error"] as const;
const context = new AsyncLocalStorage<OnLine>();
let isInstalled = false;

/** Runs `work`; what it prints to the console, now or later, goes to `onLine`, one bounded line each. */
export function withQuietConsole<T>(onLine: OnLine, work: () => T): T {
  install();
  return context.run(onLine, work);
}

function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  for (const method of methods) {
    const original = console[method].bind(console);
    console[method] = (...parts: unknown[]) => {
      const onLine = context.getStore();
      if (onLine === undefined) original(...parts);
      else onLine(parts.map(String).join(" ").replace(/\s+/g, " ").trim().slice(0, LINE_CHARS_MAX));
    };
  }
}
