/**
 * Makes an agent ready once per digest: its files and the packages it names, in a volume that task sandboxes mount
 * read-only at /agent. Runs in a build sandbox of its own with no task in sight; it has the network of install only where there
 * is something to install. The volume counts as whole once it holds the mark, which is written last.
 */
import { createHash } from "node:crypto";
import type { AgentSpec } from "../../archive/submission.ts";
import { AppError } from "../../kernel/errors.ts";
import { type CapturedText, emptyText, type Outcome, succeeded } from "../../kernel/outcome.ts";
import type { CommandResult, OutputListener, Sandbox } from "../../sandbox/port.ts";
import { agentFolder, PYTHON_PACKAGES } from "../agent-command.ts";
import { capture } from "../captured.ts";
import { describeRefused, isSiteFault } from "../egress.ts";
import { places } from "../places.ts";
import { keptLabels, type Room, SANDBOX_SLACK_MS, sharedLabels } from "../room.ts";
import { describeOutcome, mustStep, stepFailure, tryStep } from "../steps.ts";
import { bringTrust, type TrustEnvironment } from "../trust.ts";
import { baseImageId } from "./environment.ts";
import { installEnvironment } from "./install.ts";

export type PreparedAgent =
  | { readonly kind: "ready"; readonly volume: string }
  /** the agent's fault */
  | { readonly kind: "invalid"; readonly output: CapturedText };

const VOLUME_PLACE = "/mnt/agent";
const MARK = `${VOLUME_PLACE}/.proctor-prepared`;

export function agentVolume(instance: string, agent: AgentSpec): string {
  return `proctor-agent-${agent.digest.slice(0, 12)}-${instance.replace(/[^A-Za-z0-9_.-]/g, "-").slice(0, 60)}`;
}

/** @throws AppError of a platform fault, `infra_error` where a package registry can't be reached */
export async function prepareAgent(
  room: Room,
  agent: AgentSpec,
  onOutput: OutputListener,
  signal: AbortSignal,
): Promise<PreparedAgent> {
  const volume = agentVolume(room.instance, agent);
  const mark = createHash("sha256")
    .update(`${agent.digest} ${await baseImageId(room)}`)
    .digest("hex");
  await room.host.ensureVolume(volume, keptLabels(room, "agent", agent.digest));
  const hasPackages = agent.requirements.length > 0;
  const egress = room.egress.network();
  await using sandbox = await room.host.open(
    {
      labels: sharedLabels(room),
      profile: "build",
      image: room.settings.image,
      network: hasPackages ? egress.network : "none",
      mounts: [{ kind: "volume", source: volume, target: VOLUME_PLACE, readOnly: false }],
      resources: room.settings.buildResources,
      lifetimeMs: room.settings.installTimeoutMs + SANDBOX_SLACK_MS,
    },
    signal,
  );
  const found = await tryStep(sandbox, { name: "read the mark", argv: ["cat", MARK], user: "root" }, { signal });
  if (succeeded(found.outcome) && found.output.text === mark) return { kind: "ready", volume };
  if (hasPackages) await egress.complete(sandbox, await baseImageId(room), signal);
  const failure = await fill(room, sandbox, agent, onOutput, signal);
  const network = egress.take();
  if (network.length > 0) room.logger.info({ agent: agent.digest, network }, "connections of an agent's preparation");
  if (failure !== undefined) {
    const refused = describeRefused(network);
    if (isSiteFault(network)) throw new AppError("infra_error", `an agent's packages can't be fetched.${refused}`);
    return { kind: "invalid", output: { ...failure, text: failure.text + refused } };
  }
  await sandbox.endAll();
  const keep = `set -e; rm -rf ${VOLUME_PLACE}/..?* ${VOLUME_PLACE}/.[!.]* ${VOLUME_PLACE}/*
    cp -a --no-preserve=ownership ${places.agent}/. ${VOLUME_PLACE}/
    chmod -R a+rX ${VOLUME_PLACE}; sync -f ${VOLUME_PLACE}; printf %s "$1" > ${MARK}`;
  const step = { name: "keep the agent", argv: ["bash", "-c", keep, "keep", mark], user: "root" } as const;
  await mustStep(sandbox, step, { signal });
  return { kind: "ready", volume };
}

/** @returns what went wrong, where the agent is at fault */
async function fill(
  room: Room,
  sandbox: Sandbox,
  agent: AgentSpec,
  onOutput: OutputListener,
  signal: AbortSignal,
): Promise<CapturedText | undefined> {
  const unpack = {
    name: "unpack the agent",
    argv: ["tar", "-x", "--no-same-owner", "-C", places.agent, "-f", "-"],
    user: "root",
  } as const;
  const unpacked = await tryStep(sandbox, unpack, { signal, stdin: await room.blobs.stream(agent.digest) });
  if (!succeeded(unpacked.outcome)) throw stepFailure(unpack.name, unpacked.outcome, unpacked.output);
  const trust = agent.requirements.length > 0 ? await bringTrust(sandbox, room.settings.extraCaFile, signal) : {};
  for (const requirement of agent.requirements) {
    const result = await installPackages(room, sandbox, agent, requirement, trust, onOutput, signal);
    const why = succeeded(result.outcome) ? undefined : describeOutcome(result.outcome);
    if (why === undefined) continue;
    if (isNetworkFault(result.outcome, result.output.text)) {
      throw new AppError(
        "infra_error",
        `a package registry can't be reached: ${result.output.text.trim().slice(-300)}`,
      );
    }
    const text = `Installing the agent's ${requirement} failed: it ${why}.\n${result.output.text}`;
    return { ...capture(text, room.settings.outputBytesMax), truncated: result.output.truncated };
  }
  return tooLarge(room, sandbox, signal);
}

function installPackages(
  room: Room,
  sandbox: Sandbox,
  agent: AgentSpec,
  requirement: AgentSpec["requirements"][number],
  trust: TrustEnvironment,
  onOutput: OutputListener,
  signal: AbortSignal,
): Promise<CommandResult> {
  const pip = ["python3", "-m", "pip", "install", "--no-cache-dir", "--target", `${places.agent}/${PYTHON_PACKAGES}`];
  const argv =
    requirement === "requirements.txt" ? [...pip, "-r", "requirements.txt"] : ["npm", "install", "--loglevel=error"];
  return sandbox.run(
    {
      argv,
      user: "root",
      cwd: agentFolder(agent, places.agent),
      env: { ...installEnvironment, ...trust },
      timeoutMs: room.settings.installTimeoutMs,
      outputBytesMax: room.settings.outputBytesMax,
      floodBytesMax: room.settings.floodBytesMax,
    },
    { signal, onOutput },
  );
}

async function tooLarge(room: Room, sandbox: Sandbox, signal: AbortSignal): Promise<CapturedText | undefined> {
  const step = { name: "measure the agent", argv: ["du", "-s", "--block-size=1", places.agent], user: "root" } as const;
  const { output } = await mustStep(sandbox, step, { signal });
  const bytes = Number.parseInt(output.text, 10);
  const limit = room.settings.resources.diskBytes;
  if (bytes <= limit) return undefined;
  const text = `The agent with its packages takes ${bytes} bytes; the limit is ${limit} (TASK_DISK_MB).\n`;
  return { ...emptyText, text, totalBytes: Buffer.byteLength(text) };
}

/** Words of pip and npm for a network that is away: ours to mend, not the agent's. An agent that prints them gains nothing. */
const networkFaults: readonly RegExp[] = [
  /temporary failure in name resolution/i,
  /network is unreachable/i,
  /connection (timed out|refused|reset)/i,
  /read timed out/i,
  /certificate verify failed/i,
  /\b(EAI_AGAIN|ENOTFOUND|ETIMEDOUT|ECONNREFUSED|ECONNRESET|ENETUNREACH|SELF_SIGNED_CERT_IN_CHAIN)\b/,
  /\b(502 bad gateway|503 service unavailable|504 gateway)/i,
];

function isNetworkFault(outcome: Outcome, text: string): boolean {
  return outcome.kind === "exited" && networkFaults.some((pattern) => pattern.test(text));
}
