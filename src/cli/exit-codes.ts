/** How the command ends; the README's table is made from here. Each code is one question a script can ask. */
export const exitCodes = {
  done: { code: 0, means: "done; every verdict or test is the expected one" },
  negative: { code: 1, means: "done, with another result than expected: a verdict, a failed test, an ended batch" },
  usage: { code: 2, means: "the command line is malformed" },
  config: { code: 3, means: "a setting is malformed, or the configuration file can't be read" },
  missing: { code: 4, means: "this machine lacks something; the message says what and how to get it" },
  refused: { code: 5, means: "the server answered and refused; the message holds its words" },
  unreachable: { code: 6, means: "the server, the Docker engine or another service did not answer or failed" },
  file: { code: 7, means: "a local file or folder is absent, malformed, in use or not ours to write" },
  internal: { code: 70, means: "a defect of Proctor; please report what was printed" },
  interrupted: { code: 130, means: "ended by SIGINT before it was done" },
  terminated: { code: 143, means: "ended by SIGTERM before it was done" },
} as const;

export type ExitName = keyof typeof exitCodes;
