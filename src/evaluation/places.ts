/** Places inside a sandbox. The agent and the hidden tests know the first four; the rest is ours. */
export const places = {
  repo: "/repo",
  agent: "/agent",
  prompt: "/task/prompt.md",
  home: "/root",
  /** the prepared repository in an environment image: read-only, what /repo is filled from */
  base: "/proctor/repo",
  harvest: "/proctor/bin/harvest",
  wipe: "/proctor/bin/wipe",
  task: "/task",
  judges: "/task/judge",
  /** build sandboxes only: the site's certificates; gone before anything is kept */
  trust: "/run/proctor-trust",
  /** build sandboxes only: the repository that a file:// URL names */
  served: "/mnt/source",
  /** where the patch is made */
  patch: "/tmp/proctor-patch",
} as const;

/**
 * Every place that an unprivileged user of a strict sandbox can write to: what is emptied between the agent and the tests.
 * The profile's tmpfs mounts (a test compares), and what the engine adds for shared memory and message queues.
 */
export const writablePlaces: readonly string[] = [
  "/repo",
  "/tmp",
  "/var/tmp",
  "/home",
  "/task",
  "/dev/shm",
  "/dev/mqueue",
];

export const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
