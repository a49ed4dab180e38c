/** The example archive as bytes, and the environment of a server that can judge it. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { packArchive } from "../../../src/archive/pack.ts";
import {
  type ExampleAgent,
  materialiseRepositories,
  repositoryTemplate,
  stageSubmission,
} from "../../../src/setup/examples.ts";

/** @param folder scratch folder of the test; holds repositories and archives */
export async function exampleServerEnvironment(
  folder: string,
  hotkeys: readonly string[],
): Promise<Record<string, string>> {
  const repositories = join(folder, "repositories");
  await materialiseRepositories(repositories);
  return {
    VALIDATOR_HOTKEYS: hotkeys.join(","),
    REPO_URL_TEMPLATE: repositoryTemplate(repositories),
    MAX_CONCURRENT_TASKS: "4",
  };
}

/** @param runId makes the archive a new one */
export async function exampleArchive(folder: string, agent: ExampleAgent, runId: string): Promise<Buffer> {
  const staged = join(folder, `staged-${agent}-${runId}`);
  stageSubmission(agent, staged, runId);
  const target = `${staged}.zip`;
  await packArchive(staged, target, { format: "zip" });
  return readFile(target);
}
