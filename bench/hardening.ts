/**
 * What the hardening costs: `node bench/hardening.ts [ROUNDS]`. A small task runs in the container of the strict
 * profile, in the same one under the engine's default filter, and in one without filter, dropped capabilities, read-only
 * root and masked paths; limits are the same. Rounds alternate, so that what else the machine does falls on all; medians.
 */
import { randomUUID } from "node:crypto";
import Docker from "dockerode";
import { containerSpec } from "../src/sandbox/docker/container-spec.ts";
import { loadProfiles } from "../src/sandbox/profiles.ts";
import { megabyte, specOf } from "../test/sandbox/contract.ts";
import { image, removeAll } from "../test/sandbox/engine.ts";

const rounds = Number(process.argv[2] ?? 15);
const instance = `bench-${randomUUID().slice(0, 8)}`;
const docker = new Docker();

const task = `cd /repo && git init -q . && printf 'def test_a(): assert 1\\n' > test_a.py && git add . &&
git -c user.name=a -c user.email=a@example commit -qm x && pytest -q test_a.py && node -e 1`;
const script = `begin=$(date +%s%N); { ${task}; } > /tmp/said 2>&1 || { cat /tmp/said; exit 1; }
echo $(( ($(date +%s%N) - begin) / 1000 ))`;

const resources = { memoryBytes: 1024 * megabyte, cpus: 1, pidsMax: 256, diskBytes: 256 * megabyte };
const asked = containerSpec(specOf(instance, image, { resources }), loadProfiles().strict, {
  name: "unused",
  programsVolume: "unused",
  openNetwork: undefined,
  runtime: "",
  deadManMs: 1_000,
});
const { Mounts: _, ...strict } = { ...asked.HostConfig, LogConfig: { Type: "local", Config: {} } };
const { Memory, MemorySwap, NanoCpus, PidsLimit, Tmpfs, NetworkMode, LogConfig } = strict;
const bare = { Memory, MemorySwap, NanoCpus, PidsLimit, Tmpfs, NetworkMode, LogConfig };

const kinds: Readonly<Record<string, Docker.HostConfig>> = {
  strict,
  "strict, engine's filter": { ...strict, SecurityOpt: ["no-new-privileges"] },
  bare: { ...bare, SecurityOpt: ["seccomp=unconfined"] },
} as Record<string, Docker.HostConfig>;

/** @returns ms of the task itself, and ms from create to its end */
async function measure(HostConfig: Docker.HostConfig): Promise<readonly [number, number]> {
  const startMs = performance.now();
  const container = await docker.createContainer({
    Image: image,
    Labels: { "proctor.instance": instance },
    Entrypoint: ["bash", "-c", script],
    User: "10001:10001",
    Env: ["HOME=/tmp"],
    HostConfig,
  });
  await container.start();
  const { StatusCode } = await container.wait();
  const wholeMs = performance.now() - startMs;
  const said = (await container.logs({ stdout: true, stderr: true, follow: false })).toString();
  await container.remove({ force: true });
  if (StatusCode !== 0) throw new Error(said);
  return [Number(/(\d+)\s*$/.exec(said)?.[1]) / 1_000, wholeMs];
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const seen = new Map(Object.keys(kinds).map((kind) => [kind, [] as (readonly [number, number])[]]));
try {
  for (const HostConfig of Object.values(kinds)) await measure(HostConfig);
  for (let round = 0; round < rounds; round++) {
    for (const [kind, HostConfig] of Object.entries(kinds)) seen.get(kind)?.push(await measure(HostConfig));
  }
} finally {
  await removeAll(instance);
}
const base = seen.get("bare") ?? [];
for (const [kind, times] of seen) {
  const [taskMs, wholeMs] = [0, 1].map((at) => median(times.map((one) => one[at] ?? 0))) as [number, number];
  const percent = (ms: number, at: number) =>
    `${((ms / median(base.map((one) => one[at] ?? 0)) - 1) * 100).toFixed(1)} %`;
  const whole = `from create to end ${wholeMs.toFixed(0)} ms (${percent(wholeMs, 1)})`;
  console.log(`${kind}: task ${taskMs.toFixed(1)} ms (${percent(taskMs, 0)}), ${whole}`);
}
