/** The part of the configuration that evaluation needs, in the units it uses. */
import type { Config } from "../config.ts";
import type { GradingMode, GradingPolicyId } from "../kernel/outcome.ts";
import { type AddressRule, addressRule } from "../sandbox/egress/addresses.ts";
import { loadLimits } from "../sandbox/limits.ts";
import type { SandboxResources, SandboxSpec } from "../sandbox/port.ts";
import { type EgressSettings, egressSettings } from "./egress.ts";

export interface EvaluationSettings {
  readonly image: string;
  /** of agents and tests */
  readonly profile: Exclude<SandboxSpec["profile"], "build">;
  readonly cloneTimeoutMs: number;
  readonly installTimeoutMs: number;
  readonly agentTimeoutMs: number;
  readonly testTimeoutMs: number;
  readonly outputBytesMax: number;
  readonly floodBytesMax: number;
  readonly resources: SandboxResources;
  /** of build sandboxes: what install brings lies beside the workspace, and may be larger */
  readonly buildResources: SandboxResources;
  /** path of a certificate bundle on this machine; empty: none */
  readonly extraCaFile: string;
  readonly isAddressAllowed: AddressRule;
  /** whether a task must be shown sound before anyone is judged by it */
  readonly requiresSanity: boolean;
  readonly grading: GradingMode;
  readonly policy: GradingPolicyId;
  readonly egress: EgressSettings;
}

/** A compiler, a browser or a machine-learning package takes several times the room of a workspace. */
const BUILD_DISK_FACTOR = 8;

/** @throws AppError `invalid_config` where EGRESS_ALLOW_CIDRS or EGRESS_HOSTS is malformed */
export function evaluationSettings(config: Config): EvaluationSettings {
  const isAddressAllowed = addressRule(config.EGRESS_ALLOW_CIDRS);
  const resources = sandboxResources(config);
  return {
    image: config.SANDBOX_IMAGE,
    profile: config.SANDBOX_PROFILE,
    cloneTimeoutMs: config.CLONE_TIMEOUT_SECS * 1_000,
    installTimeoutMs: config.INSTALL_TIMEOUT_SECS * 1_000,
    agentTimeoutMs: config.AGENT_TIMEOUT_SECS * 1_000,
    testTimeoutMs: config.TEST_TIMEOUT_SECS * 1_000,
    outputBytesMax: config.MAX_OUTPUT_BYTES,
    floodBytesMax: config.MAX_FLOOD_BYTES,
    resources,
    buildResources: { ...resources, diskBytes: BUILD_DISK_FACTOR * resources.diskBytes },
    extraCaFile: config.EXTRA_CA_FILE,
    isAddressAllowed,
    requiresSanity: config.SANITY_CHECK === "required",
    grading: config.GRADING,
    policy: config.GRADING_POLICY,
    egress: egressSettings(config, isAddressAllowed),
  };
}

/** The named limits, and what was set one by one over them. */
function sandboxResources(config: Config): SandboxResources {
  const limits = loadLimits(config.SANDBOX_LIMITS);
  const chosen = (name: "TASK_MEMORY_MB" | "TASK_CPUS" | "TASK_PIDS" | "TASK_DISK_MB", named: number) =>
    config.sources[name] === "default" ? named : config[name];
  return {
    memoryBytes: chosen("TASK_MEMORY_MB", limits.memoryMb) * 1024 ** 2,
    cpus: chosen("TASK_CPUS", limits.cpus),
    pidsMax: chosen("TASK_PIDS", limits.pids),
    diskBytes: chosen("TASK_DISK_MB", limits.diskMb) * 1024 ** 2,
    openFilesMax: limits.openFiles,
  };
}
