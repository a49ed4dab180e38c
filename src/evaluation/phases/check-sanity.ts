/**
 * Tries a task on its own before anyone is judged by it: its commands on the base, and on the base with the reference
 * patch, each in a sandbox like the one that will judge. The reference is near no agent: these sandboxes hold none.
 */
import type { TaskSpec } from "../../archive/submission.ts";
import { succeeded } from "../../kernel/outcome.ts";
import type { Sandbox } from "../../sandbox/port.ts";
import type { KeptEnvironment } from "../kept-environments.ts";
import { places } from "../places.ts";
import { pathsOfDiff } from "../protected-files.ts";
import { type Room, SANDBOX_SLACK_MS, sharedLabels } from "../room.ts";
import { runtimeEnvironment } from "../runtime-environment.ts";
import { unsoundness } from "../sanity.ts";
import type { SanityRecord } from "../sanity-records.ts";
import { tryStep } from "../steps.ts";
import { type CanaryRun, guardsOf, runCanaries } from "./run-canaries.ts";
import { runTests, type TestsRun } from "./run-tests.ts";
import { fillRepo } from "./workspace.ts";

const DETAIL_CHARS_MAX = 4_000;

/** Whether a task carries a reference solution that can be tried: a text that is no diff is none. */
export function hasReference(task: TaskSpec): boolean {
  return pathsOfDiff(task.referencePatch ?? "").size > 0;
}

/** @throws AppError of a platform fault; nothing of the sandboxes is left in any case */
export async function checkSanity(
  room: Room,
  task: TaskSpec,
  environment: KeptEnvironment,
  signal: AbortSignal,
): Promise<SanityRecord> {
  const onBase = await tryTask(room, task, environment, "", signal);
  const isTried = hasReference(task);
  const withReference = isTried ? await tryTask(room, task, environment, task.referencePatch ?? "", signal) : undefined;
  const problems =
    isTried && withReference === undefined
      ? ["The reference patch does not apply to the base."]
      : unsoundness(task.judges, onBase?.outcomes ?? [], withReference?.outcomes);
  const note =
    !isTried && task.referencePatch !== undefined
      ? "The reference patch is no diff; the task was checked without it."
      : "";
  const changed = [...(onBase?.changed ?? []), ...(withReference?.changed ?? [])];
  return {
    isSound: problems.length === 0,
    hasReference: isTried,
    detail: (problems.length === 0 ? note : describe(problems, withReference ?? onBase)).slice(0, DETAIL_CHARS_MAX),
    guards: guardsOf((isTried ? withReference : onBase)?.canaries ?? []),
    selfChanged: [...new Set(changed.map(({ path }) => path))].sort(),
    checkedAtMs: room.clock.now(),
  };
}

/** The commands' words beside the problems: what the task's author needs to mend it. */
function describe(problems: readonly string[], seen: TestsRun | undefined): string {
  const output = seen?.output.text.trim().slice(-2_000) ?? "";
  return `${problems.join(" ")}${output === "" ? "" : `\n${output}`}`;
}

/** @returns undefined where the patch does not apply */
async function tryTask(
  room: Room,
  task: TaskSpec,
  environment: KeptEnvironment,
  patch: string,
  signal: AbortSignal,
): Promise<(TestsRun & { readonly canaries: readonly CanaryRun[] }) | undefined> {
  const { settings } = room;
  await using sandbox = await room.host.open(
    {
      labels: sharedLabels(room),
      profile: settings.profile,
      image: environment.imageId,
      network: "none",
      mounts: [],
      resources: settings.resources,
      lifetimeMs: settings.testTimeoutMs * task.judges.length + SANDBOX_SLACK_MS,
    },
    signal,
  );
  await fillRepo(sandbox, "tests", signal);
  if (patch !== "" && !(await apply(sandbox, patch, signal))) return undefined;
  const tests = await runTests(sandbox, task, settings, { signal, onOutput: () => {}, runsAll: true });
  return { ...tests, canaries: await runCanaries(sandbox, task, settings, signal) };
}

/** Some archives lose the last line's end on their way through YAML, and some diffs were made with other context. */
async function apply(sandbox: Sandbox, patch: string, signal: AbortSignal): Promise<boolean> {
  const stdin = Buffer.from(patch.endsWith("\n") ? patch : `${patch}\n`);
  const attempts = [
    ["git", "-c", "core.hooksPath=/dev/null", "apply", "--whitespace=nowarn", "-"],
    ["patch", "-p1", "--batch", "--forward", "--silent", "--no-backup-if-mismatch", "--reject-file=-"],
  ];
  for (const argv of attempts) {
    const step = { name: "apply the reference patch", argv, user: "tests", cwd: places.repo } as const;
    const applied = await tryStep(sandbox, { ...step, env: runtimeEnvironment }, { signal, stdin });
    if (succeeded(applied.outcome)) return true;
  }
  return false;
}
