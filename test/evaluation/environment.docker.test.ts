/** Environments and prepared agents on the real engine: what is fetched, what is refused, what is kept. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bench, type Repository } from "./bench.ts";
import { inputOf, RecordingReporter, taskOf } from "./support.ts";

let bench: Bench;
let repository: Repository;
const systemBundle = "/etc/ssl/certs/ca-certificates.crt";

beforeAll(async () => {
  const ca: Record<string, string> = existsSync(systemBundle) ? { EXTRA_CA_FILE: systemBundle } : {};
  bench = await Bench.open(ca, "presumed");
  repository = await bench.repository({ "a.txt": "one\n" }, { "a.txt": "two\n" });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

const judgedBy = (script: string) => ({ judges: [{ name: "check", script, workingDir: "." }] });
const passing = judgedBy("true");

describe("clone", () => {
  it("a commit that is not there: clone_failed, nothing scored, the reason told without a path of this machine", async () => {
    const { result } = await bench.evaluate({ ...repository, commit: "0".repeat(40) }, "true\n", passing);
    expect(result).toMatchObject({ verdict: "inconclusive", reason: "clone_failed", reward: 0, tests: [] });
    expect(result.error).toContain("0".repeat(40));
    expect(result.error).not.toContain("proctor-evaluation");
  });

  it.each([
    { url: "file:///srv/nowhere/at-all", why: "no such folder" },
    { url: "file:///usr/share", why: "a folder that is no repository" },
  ])("$why: clone_failed", async ({ url }) => {
    const { result } = await bench.evaluate({ ...repository, url }, "true\n", passing);
    expect(result).toMatchObject({ verdict: "inconclusive", reason: "clone_failed", reward: 0 });
    expect(await bench.host.list(bench.instance)).toEqual([]);
  });

  it("Y06: a host that resolves to a private address is refused before anything is opened", async () => {
    const { result } = await bench.evaluate(
      { ...repository, url: "https://localhost/owner/name.git" },
      "true\n",
      passing,
    );
    expect(result).toMatchObject({ verdict: "inconclusive", reason: "clone_failed", reward: 0 });
    expect(result.error).toContain("private or reserved");
  });

  it("an older commit can be the base, and without one the default branch's head is taken and recorded", async () => {
    const older = await bench.git(repository.url.replace("file://", ""), "rev-parse", "HEAD~1");
    const atOlder = await bench.evaluate({ ...repository, commit: older }, "true\n", judgedBy("grep -qx one a.txt"));
    expect(atOlder.result).toMatchObject({ verdict: "passed", baseCommit: older });
    const agent = await bench.agent({ "agent.sh": "true\n" });
    const { baseCommit: _, ...task } = taskOf({ repoUrl: repository.url, ...judgedBy("grep -qx two a.txt") });
    const atHead = await bench.room.evaluate(
      inputOf(task, agent),
      new RecordingReporter(),
      new AbortController().signal,
    );
    expect(atHead).toMatchObject({ verdict: "passed", baseCommit: repository.commit });
  });

  it("G01: hooks, filters, submodules and LFS pointers of the repository do nothing", async () => {
    const hostile = await bench.repository({
      ".gitattributes": "*.dat filter=lfs diff=lfs merge=lfs -text\n*.txt filter=evil\n",
      ".gitmodules":
        '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch /repo/pwned"\n\tupdate = !touch /repo/pwned\n',
      ".lfsconfig": "[lfs]\n\turl = https://localhost/\n",
      "big.dat": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
      ".githooks/post-checkout": "#!/bin/sh\ntouch /repo/pwned\n",
      "a.txt": "plain\n",
    });
    const { result } = await bench.evaluate(
      hostile,
      "true\n",
      judgedBy("! test -e pwned && grep -q git-lfs big.dat && grep -qx plain a.txt"),
    );
    expect(result).toMatchObject({ verdict: "passed" });
  });
});

describe("install", () => {
  it("Y09: a command that exits 1: install_failed with its output, nothing scored", async () => {
    const install = ["echo preparing", "echo it broke >&2; exit 3", "touch never"];
    const { result, reporter } = await bench.evaluate(repository, "true\n", { ...passing, install });
    expect(result).toMatchObject({ verdict: "inconclusive", reason: "install_failed", reward: 0, tests: [] });
    expect(result.error).toContain("Install command 2 (echo it broke >&2; exit 3) exited with code 3.\nit broke");
    expect(result.phases.map((phase) => phase.phase)).toEqual(["clone", "install"]);
    expect(reporter.logs).toContain("install: preparing\n");
  });

  it("runs as root by bash in its folder with HOME=/root; what it leaves is readable to agent and tests", async () => {
    const install = [
      "pwd; id -un; umask 077; mkdir -p ~/.tool; echo 'export TOOL=yes' > ~/.tool/env; chmod 700 ~",
      "[[ -d sub ]] || mkdir sub; echo made > sub/made; chmod 600 sub/made; ln -s /usr/bin/env /usr/local/bin/mytool",
    ];
    const script = ". $HOME/.tool/env && test $TOOL = yes && grep -q made sub/made && mytool true";
    const { result, reporter } = await bench.evaluate(repository, `${script} && echo agent sees it\n`, {
      ...judgedBy(script),
      install,
    });
    expect(result).toMatchObject({ verdict: "passed" });
    expect(result.agentOutput.text).toBe("agent sees it\n");
    expect(reporter.logs.join("")).toContain("/repo\n");
    expect(reporter.logs.join("")).toContain("root\n");
    expect(result.agentPatch.text).toBe("");
  });

  it("nothing of the site's certificates, of the mirror or of the install scripts stays in the environment", async () => {
    const script =
      "find /run /task /mnt -mindepth 1 -not -name source -not -name prompt.md; env | grep -iE 'cert|CAINFO|CA_BUNDLE'; grep -c proctor-evaluation /proc/mounts; ls -A /mnt/source\n";
    const { result } = await bench.evaluate(repository, script, { ...passing, install: ["true"] });
    expect(result.agentOutput.text.trim()).toBe("0");
  });
});

describe("kept environments", () => {
  it("five attempts at once wait for one builder", async () => {
    const task = { ...passing, install: ["echo built once; sleep 1"] };
    const all = await Promise.all([1, 2, 3, 4, 5].map((n) => bench.evaluate(repository, `echo ${n}\n`, task)));
    expect(all.map(({ result }) => result.verdict)).toEqual(Array(5).fill("passed"));
    expect(new Set(all.map(({ result }) => result.environmentImage)).size).toBe(1);
    expect(all.filter(({ result }) => result.phases[0]?.cached === false)).toHaveLength(1);
  });

  it("one whose image is gone from the engine is made again; eviction removes the least recently used", async () => {
    const task = { ...passing, install: ["echo again"] };
    const first = await bench.evaluate(repository, "true\n", task);
    const row = [...bench.kept.rows.values()].find((kept) => kept.imageId === first.result.environmentImage);
    await bench.host.removeImage(row?.image ?? "");
    const second = await bench.evaluate(repository, "true\n", task);
    expect(second.result).toMatchObject({ verdict: "passed" });
    expect(second.result.phases[0]?.cached).toBe(false);
    await bench.room.evictEnvironments(1);
    expect([...bench.kept.rows.values()].map((kept) => kept.imageId)).toEqual([second.result.environmentImage]);
    expect(await bench.host.findImage(row?.image ?? "")).toMatchObject({ id: second.result.environmentImage });
  });
});

describe("no tests", () => {
  it("is decided before anything is spent", async () => {
    const { result, reporter } = await bench.evaluate(repository, "true\n", { judges: [] });
    expect(result).toMatchObject({ verdict: "inconclusive", reason: "no_tests", reward: 0, phases: [] });
    expect(reporter.phases).toEqual([]);
  });
});

describe("agents", () => {
  it.each([
    {
      files: { "agent.js": "console.log(process.argv.length, require('fs').existsSync('/task/prompt.md'))\n" },
      output: "2 true\n",
    },
    { files: { "agent.ts": "const words: string = 'typed'; console.log(words)\n" }, output: "typed\n" },
    {
      files: { "agent.go": 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("gone") }\n' },
      output: "gone\n",
    },
    { files: { "agent.rb": "puts :ruby\n" }, output: "ruby\n" },
    { files: { "agent.sh": "echo $0 $PWD $HOME\n" }, output: "/agent/agent.sh /repo /root\n" },
    {
      files: { "agent.py": "import helper\nprint(helper.word)\n", "helper.py": "word = 'imported'\n" },
      output: "imported\n",
    },
  ])("runs by language: $output", async ({ files, output }) => {
    const { result } = await bench.evaluate(repository, files as unknown as Record<string, string>, passing);
    expect(result.agentOutput.text).toBe(output);
    expect(result).toMatchObject({ verdict: "passed", agentExitCode: 0 });
  });

  it("finds its own files read-only, and /agent holds nothing else", async () => {
    const { result } = await bench.evaluate(
      repository,
      { "agent.sh": "ls -A /agent; echo x > /agent/agent.sh || echo read-only\n" },
      passing,
    );
    expect(result.agentOutput.text).toMatch(/^\.proctor-prepared\nagent\.sh\n/);
    // What bash complains of and what the agent says are two streams: either may come first.
    expect(result.agentOutput.text).toContain("read-only\n");
  });

  it("gets the packages of its requirements.txt, from the registry, before any task is in sight", async () => {
    const files = { "agent.py": "import six\nprint('six', six.PY3)\n", "requirements.txt": "six==1.17.0\n" };
    const { result } = await bench.evaluate(repository, files, passing);
    expect(result).toMatchObject({ verdict: "passed" });
    expect(result.agentOutput.text).toBe("six True\n");
  });

  it("gets the packages of its package.json", async () => {
    const manifest = JSON.stringify({ name: "a", version: "1.0.0", dependencies: { "is-number": "7.0.0" } });
    const files = { "agent.js": "console.log(require('is-number')(5))\n", "package.json": manifest };
    const { result } = await bench.evaluate(repository, files, passing);
    expect(result).toMatchObject({ verdict: "passed" });
    expect(result.agentOutput.text).toBe("true\n");
  });

  it("whose requirements can't be installed: agent_invalid, failed, with the output", async () => {
    const files = { "agent.py": "print(1)\n", "requirements.txt": "this is not a requirement\n" };
    const { result } = await bench.evaluate(repository, files, passing);
    expect(result).toMatchObject({ verdict: "failed", reason: "agent_invalid", reward: 0, error: null, tests: [] });
    expect(result.agentOutput.text).toContain("requirements.txt failed");
  });
});
