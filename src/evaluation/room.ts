/** What the parts of evaluation share: the ports it stands on, and the settings. */
import type { Clock } from "../kernel/clock.ts";
import type { SandboxHost, SandboxLabels } from "../sandbox/port.ts";
import type { BlobStore } from "../store/port.ts";
import type { Egress } from "./egress.ts";
import type { KeptEnvironments } from "./kept-environments.ts";
import type { EvaluationLogger } from "./logger.ts";
import type { ResolveHost } from "./repo-source.ts";
import type { SanityRecords } from "./sanity-records.ts";
import type { EvaluationSettings } from "./settings.ts";

export interface Room {
  readonly host: SandboxHost;
  readonly kept: KeptEnvironments;
  readonly sanity: SanityRecords;
  readonly blobs: BlobStore;
  readonly settings: EvaluationSettings;
  /** the network of build sandboxes */
  readonly egress: Egress;
  readonly clock: Clock;
  /** label value of everything we make */
  readonly instance: string;
  readonly logger: EvaluationLogger;
  readonly resolveHost: ResolveHost;
}

/** Labels of what serves more than one task. */
export function sharedLabels(room: Room): SandboxLabels {
  return { instance: room.instance, batch: "-", task: "-", attempt: 0, phase: "prepare" };
}

/** What a kept image or volume is labelled with. */
export function keptLabels(room: Room, kind: "environment" | "agent", key: string): Readonly<Record<string, string>> {
  return { "proctor.instance": room.instance, "proctor.kind": kind, "proctor.key": key };
}

/** Beside the phases' own limits: opening, copying, emptying, harvesting. */
export const SANDBOX_SLACK_MS = 10 * 60_000;
