/** Leaves an engine as a test found it: removes what one instance of ours made there, and nothing else. */
import Docker from "dockerode";

/** @param instance value of the label `proctor.instance` */
export async function removeInstance(instance: string): Promise<void> {
  const docker = new Docker();
  const filters = { label: [`proctor.instance=${instance}`] };
  for (const { Id } of await docker.listContainers({ all: true, filters })) {
    await settled(docker.getContainer(Id).remove({ force: true, v: true }));
  }
  for (const { Name } of (await docker.listVolumes({ filters })).Volumes ?? []) {
    await settled(docker.getVolume(Name).remove({ force: true }));
  }
  for (const { Id } of await docker.listNetworks({ filters })) await settled(docker.getNetwork(Id).remove());
  for (const { Id } of await docker.listImages({ filters })) await settled(docker.getImage(Id).remove({ force: true }));
}

/** What is gone already, or still in use by what this removes next time, is no failure of the test. */
async function settled(work: Promise<unknown>): Promise<void> {
  await work.catch((error: { readonly statusCode?: number }) => {
    if (error.statusCode !== 404 && error.statusCode !== 409) throw error;
  });
}
