/** The real engine for docker tests: an instance of their own, and everything of it gone afterwards. */
import { randomUUID } from "node:crypto";
import Docker from "dockerode";
import { createDockerHost } from "../../src/sandbox/docker/host.ts";
import type { ContractSubject } from "./contract.ts";

export const image = process.env.SANDBOX_IMAGE ?? "proctor/sandbox:latest";

/** @returns why docker tests can't run here, or undefined where they can */
export async function whyNoEngine(): Promise<string | undefined> {
  try {
    await new Docker().getImage(image).inspect();
    return undefined;
  } catch (error) {
    return `no engine with image ${image}: ${(error as Error).message.trim()}; run "npm run setup"`;
  }
}

/** A host with an instance label that nobody else uses. */
export async function makeSubject(): Promise<ContractSubject> {
  const instance = `test-${randomUUID().slice(0, 8)}`;
  return {
    host: createDockerHost({ instance, image }),
    instance,
    image,
    dispose: () => removeAll(instance),
  };
}

/** Removes every container, network and volume of an instance; what somebody else is removing right now is waited for. */
export async function removeAll(instance: string): Promise<void> {
  const docker = new Docker();
  const filters = { label: [`proctor.instance=${instance}`] };
  const tolerate = (error: { statusCode?: number }) => {
    if (error.statusCode !== 404 && error.statusCode !== 409) throw error;
  };
  for (let tries = 0; tries < 100; tries++) {
    const containers = await docker.listContainers({ all: true, filters });
    if (containers.length === 0) break;
    await Promise.all(
      containers.map(({ Id }) => docker.getContainer(Id).remove({ force: true, v: true }).catch(tolerate)),
    );
  }
  const networks = await docker.listNetworks({ filters });
  await Promise.all(networks.map(({ Id }) => docker.getNetwork(Id).remove().catch(tolerate)));
  const { Volumes } = await docker.listVolumes({ filters });
  await Promise.all((Volumes ?? []).map(({ Name }) => docker.getVolume(Name).remove()));
}
