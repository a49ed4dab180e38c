/** How an agent is started: by language, from its read-only folder, in the repository. */
import { posix } from "node:path";
import type { AgentLanguage, AgentSpec } from "../archive/submission.ts";
import { assertNever } from "../kernel/assert-never.ts";
import { PATH, places } from "./places.ts";
import { fitArgument } from "./runtime-environment.ts";

/** Below the agent's folder: where preparation put what requirements.txt names. */
export const PYTHON_PACKAGES = ".proctor/python";

/**
 * One folder is one Go package, of which `go run` takes the files one by one. A module is built where it lies, so that it
 * finds its own packages, and runs in the repository; where that fails, its files are tried like any others.
 */
const runGo = `
folder=\${1%/*}
if [ -e "$folder/go.mod" ] && (cd "$folder" && go build -o /tmp/agent-program .); then exec /tmp/agent-program; fi
shopt -s extglob
exec go run "$folder"/!(*_test).go
`;

/** @param prompt only Python agents get it as an argument; every agent finds it in the prompt file */
export function agentArgv(agent: AgentSpec, prompt: string): readonly string[] {
  const entry = `${places.agent}/${agent.entry}`;
  return agent.language === "python"
    ? ["python3", entry, "--instruction", fitArgument(prompt)]
    : [...runners(agent.language), entry];
}

function runners(language: Exclude<AgentLanguage, "python">): readonly string[] {
  switch (language) {
    case "javascript":
      return ["node"];
    case "typescript":
      // What `npx tsx` finds in the image, without npx asking a registry that can't be reached.
      return ["tsx"];
    case "go":
      return ["bash", "-c", runGo, "agent"];
    case "ruby":
      return ["ruby"];
    case "shell":
      return ["bash"];
    default:
      return assertNever(language);
  }
}

/** Variables that let an agent find what was installed for it. */
export function dependencyEnvironment(agent: AgentSpec): Readonly<Record<string, string>> {
  const folder = agentFolder(agent, places.agent);
  const variables: Record<string, string> = {};
  const bins: string[] = [];
  if (agent.requirements.includes("requirements.txt")) {
    variables.PYTHONPATH = `${places.agent}/${PYTHON_PACKAGES}`;
    bins.push(`${places.agent}/${PYTHON_PACKAGES}/bin`);
  }
  if (agent.requirements.includes("package.json")) bins.push(`${folder}/node_modules/.bin`);
  // After the system's own: a package must not take the place of git or python3.
  return bins.length === 0 ? variables : { ...variables, PATH: [PATH, ...bins].join(":") };
}

/** The folder of the entry file, where its dependency files lie too. */
export function agentFolder(agent: AgentSpec, root: string): string {
  return posix.join(root, posix.dirname(agent.entry));
}
