/** Whatever we make on an engine says whose it is: an operator finds every container, volume and network by label. */
import Docker from "dockerode";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ContractSubject, specOf } from "../contract.ts";
import { makeSubject, whyNoEngine } from "../engine.ts";

const missing = await whyNoEngine();
if (missing !== undefined) it.skip(missing, () => {});

const names = ["proctor.instance", "proctor.batch", "proctor.task", "proctor.attempt", "proctor.phase"];

describe.runIf(missing === undefined)("labels", () => {
  let subject: ContractSubject;
  beforeAll(async () => {
    subject = await makeSubject();
  });
  afterAll(async () => {
    await subject?.dispose();
  });

  it("stand on every container, volume and network", async () => {
    const { host, instance } = subject;
    const docker = new Docker();
    const labels = { instance, batch: "b", task: "owner/name", attempt: 2, phase: "install" } as const;
    await using _sandbox = await host.open(
      specOf(instance, subject.image, { labels, profile: "build", network: "open" }),
    );
    await host.ensureVolume(`proctor-labels-${instance}`, { "proctor.kind": "agent" });
    const filters = { label: [`proctor.instance=${instance}`] };

    const containers = await docker.listContainers({ all: true, filters });
    const volumes = (await docker.listVolumes({ filters })).Volumes ?? [];
    const networks = await docker.listNetworks({ filters });
    for (const made of [containers, volumes, networks]) {
      expect(made.length).toBeGreaterThan(0);
      for (const { Labels } of made) expect(Object.keys(Labels ?? {})).toEqual(expect.arrayContaining(names));
    }
    expect(containers[0]?.Labels).toMatchObject({ "proctor.task": "owner/name", "proctor.attempt": "2" });
    expect(volumes.length).toBeGreaterThanOrEqual(2);
  });
});
