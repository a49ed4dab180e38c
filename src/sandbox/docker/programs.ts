/**
 * Our own programs (supervisor, harvest, wipe) for every sandbox, from a volume that is filled from the pristine image.
 * An environment image was written to by `install` commands as root: were its /proctor/bin used, a hostile package could
 * bring its own supervisor and say how the tests ended. Mounted read-only over it, ours stays ours.
 */
import { randomUUID } from "node:crypto";
import { PROGRAMS } from "./container-spec.ts";
import { type Engine, isNotFound } from "./engine.ts";
import { sharedLabels } from "./labels.ts";

export class Programs {
  readonly #engine: Engine;
  readonly #instance: string;
  readonly #image: string;
  #volume: { readonly imageId: string; readonly name: Promise<string> } | undefined;

  constructor(engine: Engine, instance: string, image: string) {
    this.#engine = engine;
    this.#instance = instance;
    this.#image = image;
  }

  /** @returns the volume's name, made at first use and again when the image changed
   *  @throws AppError `image_missing` where the pristine image is not on this engine */
  async volume(signal?: AbortSignal): Promise<string> {
    const what = `reading image ${this.#image}`;
    const { Id } = await this.#engine.call(
      "inspect",
      what,
      () => this.#engine.docker.getImage(this.#image).inspect(),
      signal,
    );
    if (this.#volume?.imageId !== Id) {
      const name = this.#fill(Id);
      this.#volume = { imageId: Id, name };
      name.catch(() => {
        if (this.#volume?.name === name) this.#volume = undefined;
      });
    }
    return this.#volume.name;
  }

  /** Forgets that it was filled: whoever failed to open a sandbox makes the next one look again. */
  forget(): void {
    this.#volume = undefined;
  }

  /**
   * The engine copies an image's folder into an empty volume that is mounted over it when a container is created, and
   * leaves one that holds something alone: so this may be done again, and heals a volume that was left empty.
   */
  async #fill(imageId: string): Promise<string> {
    const volume = `proctor-programs-${this.#instance}-${imageId.replace("sha256:", "").slice(0, 16)}`;
    const labels = { ...sharedLabels(this.#instance), "proctor.programs": imageId };
    const { docker } = this.#engine;
    const what = `filling volume ${volume}`;
    await this.#engine.call("create", what, () => docker.createVolume({ Name: volume, Labels: labels }));
    const name = `proctor-programs-${randomUUID()}`;
    try {
      await this.#engine.call("create", what, (abortSignal) =>
        docker.createContainer({
          name,
          Image: imageId,
          Entrypoint: [`${PROGRAMS}/supervisor`],
          Labels: sharedLabels(this.#instance),
          HostConfig: {
            NetworkMode: "none",
            Mounts: [{ Type: "volume", Source: volume, Target: PROGRAMS, ReadOnly: false }],
          },
          abortSignal,
        }),
      );
    } finally {
      await this.#engine
        .call("remove", what, () => docker.getContainer(name).remove({ force: true }))
        .catch((error: unknown) => {
          if (!isNotFound(error)) throw error;
        });
    }
    return volume;
  }
}
