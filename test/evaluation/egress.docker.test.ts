/** The allow-list in a whole attempt, on the real engine: what install connected to stands in the result. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Bench, type Repository } from "./bench.ts";

let bench: Bench;
let repository: Repository;
const systemBundle = "/etc/ssl/certs/ca-certificates.crt";

beforeAll(async () => {
  bench = await Bench.open(existsSync(systemBundle) ? { EXTRA_CA_FILE: systemBundle } : {});
  repository = await bench.repository({ "a.txt": "one\n" });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

const judges = [{ name: "check", script: "test -e solved && python3 -c 'import six'", workingDir: "." }];

it("install reaches the image's registries and nothing else, and both are counted in the result", async () => {
  const install = ["pip install -q six", "curl -s -m 5 https://elsewhere.example/ || true"];
  const { result } = await bench.evaluate(repository, "touch solved\n", { install, judges });
  expect(result).toMatchObject({ verdict: "passed", reward: 1 });
  const network = result.phases.find(({ phase }) => phase === "install")?.network ?? [];
  expect(network.filter(({ allowed, bytesDown }) => allowed && bytesDown > 0)).not.toEqual([]);
  expect(network.filter(({ allowed }) => !allowed)).toEqual([
    {
      host: "elsewhere.example",
      port: 443,
      allowed: false,
      reason: "not_listed",
      connections: 1,
      bytesUp: 0,
      bytesDown: 0,
    },
  ]);
  expect(result.phases.filter(({ phase }) => phase !== "install").every((phase) => phase.network === undefined)).toBe(
    true,
  );
});

it("an install that needs another host fails with its name and the setting that allows it", async () => {
  const install = ["curl -sS -m 5 https://elsewhere.example/install.sh -o install.sh"];
  const { result } = await bench.evaluate(repository, "touch solved\n", { install, judges });
  expect(result).toMatchObject({ verdict: "inconclusive", reason: "install_failed", reward: 0 });
  expect(result.error).toMatch(/EGRESS_HOSTS.*elsewhere\.example:443 \(not_listed\)/);
});

it("a listed registry that can't be reached is the site's fault: no agent is scored by it", async () => {
  await using strict = await Bench.open({ EGRESS_HOSTS: "registry.invalid" });
  const own = await strict.repository({ "a.txt": "one\n" });
  const files = {
    "agent.py": "open('solved', 'w')\n",
    "requirements.txt": "--index-url https://registry.invalid/simple\nsix\n",
  };
  const judged = { judges: [{ name: "check", script: "test -e solved", workingDir: "." }] };
  await expect(strict.evaluate(own, files, judged)).rejects.toMatchObject({
    code: "infra_error",
    message: expect.stringContaining("registry.invalid:443 (unresolved)"),
  });
});
