/** Labels and references, read back from the engine. */
import type Docker from "dockerode";
import { phases } from "../../kernel/outcome.ts";
import type { FoundSandbox, SandboxLabels } from "../port.ts";
import { labelsOf } from "./container-spec.ts";

/** A container as the engine lists it. Labels that are missing or malformed read as "-", 0 and `prepare`. */
export function found(info: Docker.ContainerInfo): FoundSandbox {
  const label = (name: string) => info.Labels[`proctor.${name}`] ?? "-";
  const attempt = Number(label("attempt"));
  return {
    id: info.Id,
    labels: {
      instance: label("instance"),
      batch: label("batch"),
      task: label("task"),
      attempt: Number.isSafeInteger(attempt) ? attempt : 0,
      phase: phases.find((phase) => phase === label("phase")) ?? "prepare",
    },
    createdAtMs: info.Created * 1000,
    running: info.State === "running",
  };
}

/** Labels of a kept image: those asked for. The container's would be inherited, so each of them is overwritten. */
export function keptLabels(container: SandboxLabels, labels: Readonly<Record<string, string>>): Record<string, string> {
  const inherited = Object.keys(labelsOf(container)).map((name) => [name, "-"] as const);
  return { ...Object.fromEntries(inherited), "proctor.instance": container.instance, ...labels };
}

/** Labels of what serves more than one task: volumes, networks, helpers. All of ours carry the same five names. */
export function sharedLabels(instance: string): Record<string, string> {
  return labelsOf({ instance, batch: "-", task: "-", attempt: 0, phase: "prepare" });
}

/** `name:tag` in its two parts; without a tag `latest`. */
export function splitReference(reference: string): { readonly repo: string; readonly tag: string } {
  const at = reference.lastIndexOf(":");
  const hasTag = at > reference.lastIndexOf("/");
  return hasTag ? { repo: reference.slice(0, at), tag: reference.slice(at + 1) } : { repo: reference, tag: "latest" };
}
