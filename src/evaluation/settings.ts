/** The part of the configuration that evaluation needs, in the units it uses. */
import type { Config } from "../config.ts";
import { type AddressRule, addressRule } from "../sandbox/egress/addresses.ts";
import type { SandboxResources } from "../sandbox/port.ts";
import { type EgressSettings, egressSettings } from "./egress.ts";

export interface EvaluationSettings {
  readonly image: string;
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
  readonly egress: EgressSettings;
}

/** A compiler, a browser or a machine-learning package takes several times the room of a workspace. */
const BUILD_DISK_FACTOR = 8;

/** @throws AppError `invalid_config` where EGRESS_ALLOW_CIDRS or EGRESS_HOSTS is malformed */
export function evaluationSettings(config: Config): EvaluationSettings {
  const isAddressAllowed = addressRule(config.EGRESS_ALLOW_CIDRS);
  const resources: SandboxResources = {
    memoryBytes: config.TASK_MEMORY_MB * 1024 ** 2,
    cpus: config.TASK_CPUS,
    pidsMax: config.TASK_PIDS,
    diskBytes: config.TASK_DISK_MB * 1024 ** 2,
  };
  return {
    image: config.SANDBOX_IMAGE,
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
    egress: egressSettings(config, isAddressAllowed),
  };
}
