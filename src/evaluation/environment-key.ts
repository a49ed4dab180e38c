/** The content key of an environment: equal keys mean the same repository at the same commit, installed the same way. */
import { createHash } from "node:crypto";
import type { TaskSpec } from "../archive/submission.ts";
import { canonicalJson } from "../kernel/json.ts";

/** Raised when the way environments are made changes, so that kept ones of the old way are not used. */
const RECIPE_VERSION = 1;

/**
 * @param imageId content id of the base image, so that a new image makes new environments
 * @returns SHA-256 as 64 hex digits. The site's certificate bundle is no part: nothing of it stays in an environment.
 */
export function environmentKey(imageId: string, task: TaskSpec, baseCommit: string): string {
  const content = canonicalJson({
    recipe: RECIPE_VERSION,
    image: imageId,
    repoUrl: task.repoUrl,
    baseCommit,
    install: task.install,
    installDir: task.installDir,
  });
  return createHash("sha256").update(content).digest("hex");
}

/** The name that an environment's image has on the engine. Two servers on one engine never share a name. */
export function environmentImage(instance: string, key: string): string {
  return `proctor/environment:${instance.replace(/[^A-Za-z0-9_.-]/g, "-").slice(0, 60)}-${key.slice(0, 32)}`;
}
