/**
 * The clone phase: exactly one commit into /repo, verified, with nothing else of the repository's history in sight. Runs
 * as root in a build sandbox; no hook, filter, submodule or configuration of the repository does anything.
 */
import { AppError } from "../../kernel/errors.ts";
import { succeeded } from "../../kernel/outcome.ts";
import type { CommandResult, OutputListener, Sandbox, Usage } from "../../sandbox/port.ts";
import { places } from "../places.ts";
import type { RepoSource } from "../repo-source.ts";
import { commandOf, mustStep, textOfStep, tryStep } from "../steps.ts";
import type { TrustEnvironment } from "../trust.ts";
import { gitEnvironment, gitOptions, isRefusal } from "./git-speech.ts";

export interface CloneOrder {
  readonly source: RepoSource;
  /** what messages call the repository, e.g. `owner/name` */
  readonly repo: string;
  readonly baseCommit: string;
  readonly trust: TrustEnvironment;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly onOutput: OutputListener;
}

export type CloneResult =
  | { readonly kind: "cloned"; readonly treeHash: string; readonly fetch: CommandResult }
  /** the task's fault; never retried, never scored */
  | { readonly kind: "refused"; readonly error: string; readonly fetch: CommandResult };

export const noUsage: Usage = { cpuMs: 0, memoryPeakBytes: 0 };

/** @throws AppError `git_unreachable` where another try may succeed, `sandbox_failed` where the sandbox broke */
export async function clone(sandbox: Sandbox, order: CloneOrder): Promise<CloneResult> {
  const { signal } = order;
  await mustStep(sandbox, gitStep(order, ["init", "-q", "--template=", "-b", "base"]), { signal });
  const fetch = await fetchCommit(sandbox, order);
  if (!succeeded(fetch.outcome)) return refusedOrThrow(fetch, order);
  const checkout = await tryStep(sandbox, gitStep(order, ["checkout", "-q", "--detach", order.baseCommit, "--"]), {
    signal,
    onOutput: order.onOutput,
  });
  if (!succeeded(checkout.outcome)) return refusedOrThrow(checkout, order);
  await mustStep(sandbox, forgetStep, { signal });
  const head = await textOfStep(sandbox, gitStep(order, ["rev-parse", "HEAD"]), signal);
  if (head !== order.baseCommit) {
    return { kind: "refused", error: `The checkout gave commit ${head.slice(0, 40)}, not ${order.baseCommit}.`, fetch };
  }
  const treeHash = await textOfStep(sandbox, gitStep(order, ["rev-parse", "HEAD^{tree}"]), signal);
  return { kind: "cloned", treeHash, fetch };
}

/** Head of the default branch, for a task that names no commit. @returns undefined where the repository has none */
export async function remoteHead(sandbox: Sandbox, order: Omit<CloneOrder, "baseCommit">): Promise<string | undefined> {
  const step = gitStep(order, ["ls-remote", "--", order.source.url, "HEAD"]);
  const command = commandOf({ ...step, timeoutMs: order.timeoutMs });
  const result = await sandbox.runForData(command, { signal: order.signal });
  if (succeeded(result.outcome)) return /^([0-9a-f]{40})\tHEAD$/m.exec(result.stdout.toString("utf8"))?.[1];
  if (isRefusal(result.stderr.text)) return undefined;
  throw unreachable(result.stderr.text);
}

function fetchCommit(sandbox: Sandbox, order: CloneOrder): Promise<CommandResult> {
  const argv = ["fetch", "--depth", "1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--progress"];
  const step = gitStep(order, [...argv, "--", order.source.url, order.baseCommit]);
  return tryStep(sandbox, { ...step, timeoutMs: order.timeoutMs }, { signal: order.signal, onOutput: order.onOutput });
}

function refusedOrThrow(result: CommandResult, order: CloneOrder): CloneResult {
  const text = result.output.text;
  if (!isRefusal(text)) throw unreachable(result.outcome.kind === "timedOut" ? "out of time" : text);
  const where = `commit ${order.baseCommit} of ${order.repo}`;
  return { kind: "refused", error: `Could not check out ${where}: ${lastLines(text)}`, fetch: result };
}

function unreachable(text: string): AppError {
  return new AppError("git_unreachable", `the repository can't be fetched just now: ${lastLines(text)}`);
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-3).join(" ").slice(0, 500);
}

/** What git noted on the way: where it fetched from, and what HEAD was before. */
const forgetStep = {
  name: "remove git's notes of the fetch",
  argv: [
    "rm",
    "-rf",
    ...["FETCH_HEAD", "ORIG_HEAD", "logs", "hooks", "branches"].map((name) => `${places.repo}/.git/${name}`),
  ],
  user: "root",
} as const;

function gitStep(order: Pick<CloneOrder, "source" | "trust">, argv: readonly string[]) {
  return {
    name: `run git ${argv[0]}`,
    argv: ["git", ...gitOptions(order.source), ...argv],
    user: "root",
    cwd: places.repo,
    env: { ...order.trust, ...gitEnvironment(order.source) },
  } as const;
}
