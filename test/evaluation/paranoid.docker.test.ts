/** SANDBOX_PROFILE=paranoid from the setting to the verdict: honest tasks pass, and what it takes away is away. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bench, type Repository } from "./bench.ts";

let bench: Bench;
let repository: Repository;

beforeAll(async () => {
  bench = await Bench.open({ SANDBOX_PROFILE: "paranoid" });
  repository = await bench.repository({ "a.txt": "one\n" });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

const fixed = { judges: [{ name: "check_1", script: "grep -q two a.txt", workingDir: "." }] };

describe("under paranoid", () => {
  it.each([
    { language: "shell", files: { "agent.sh": "echo two >> a.txt\n" } },
    { language: "python", files: { "agent.py": "open('a.txt', 'a').write('two\\n')\n" } },
    { language: "javascript", files: { "agent.js": "require('node:fs').appendFileSync('a.txt', 'two\\n');\n" } },
    {
      language: "typescript",
      files: {
        "agent.ts": "import { appendFileSync } from 'node:fs';\nappendFileSync('a.txt', 'two\\n' as string);\n",
      },
    },
    { language: "ruby", files: { "agent.rb": "File.write('a.txt', \"two\\n\", mode: 'a')\n" } },
  ])("an honest agent in $language passes", async ({ files }) => {
    const { result } = await bench.evaluate(repository, files as Record<string, string>, fixed);
    expect(result).toMatchObject({ verdict: "passed", reward: 1 });
  });

  it("one that does nothing fails by the tests", async () => {
    const { result } = await bench.evaluate(repository, "true\n", fixed);
    expect(result).toMatchObject({ verdict: "failed", reason: "tests_failed", reward: 0 });
  });

  it("an agent has no socket but local ones, and is judged all the same", async () => {
    const agent = `import socket
for family in ("AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"):
    try: socket.socket(getattr(socket, family), socket.SOCK_DGRAM).close(); print(family, "opened")
    except OSError as error: print(family, error.strerror)
open("a.txt", "a").write("two\\n")
`;
    const { result } = await bench.evaluate(repository, { "agent.py": agent }, fixed);
    const refused = "Address family not supported by protocol";
    expect(result.agentOutput.text).toBe(
      `AF_INET ${refused}\nAF_INET6 ${refused}\nAF_NETLINK ${refused}\nAF_UNIX opened\n`,
    );
    expect(result).toMatchObject({ verdict: "passed" });
  });
});
