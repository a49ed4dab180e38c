/** How git is called for a hostile repository, and what its complaints mean. */
import { places } from "../places.ts";
import type { RepoSource } from "../repo-source.ts";

/** No configuration but ours, no prompt, one transport. */
export function gitEnvironment(source: RepoSource): Readonly<Record<string, string>> {
  return {
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: `${places.trust}/gitconfig`,
    GIT_ALLOW_PROTOCOL: source.kind,
    GIT_TERMINAL_PROMPT: "0",
    GIT_ASKPASS: "/bin/false",
    GIT_LFS_SKIP_SMUDGE: "1",
    LC_ALL: "C",
  };
}

/** Options before the subcommand of every git call that touches the network or the work tree. */
export function gitOptions(source: RepoSource): readonly string[] {
  const options = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.logAllRefUpdates=false",
    "advice.detachedHead=false",
    "credential.helper=",
    "gc.auto=0",
    "submodule.recurse=false",
  ];
  if (source.kind === "https") {
    // A redirect would be followed to a host that nobody checked.
    options.push(`http.curloptResolve=${source.resolve}`, "http.followRedirects=false");
    options.push("http.lowSpeedLimit=1000", "http.lowSpeedTime=30");
  }
  return options.flatMap((option) => ["-c", option]);
}

/** Complaints that no retry mends: the commit or the repository is not there, or not public. */
const refusals: readonly RegExp[] = [
  /not our ref/i,
  /couldn't find remote ref/i,
  /does not allow request for unadvertised object/i,
  /remote error: .*not (found|exist)/i,
  /repository '[^']*' not found/i,
  /repository not found/i,
  /does not appear to be a git repository/i,
  /not a git repository/i,
  /authentication failed/i,
  /could not read (username|password)/i,
  /requested url returned error: (401|403|404|410|451)/i,
  /unable to update url base from redirection/i,
  /requested url returned error: 30\d/i,
  /reference is not a tree|unable to read tree|bad object/i,
  /invalid path/i,
];

/** Whether git's words say that the task is at fault rather than the network. */
export function isRefusal(gitOutput: string): boolean {
  return refusals.some((pattern) => pattern.test(gitOutput));
}
