/** Which tasks are sound, found out once for each environment and task, whoever asks first; kept in the store. */
import type { TaskSpec } from "../archive/submission.ts";
import type { KeptEnvironment } from "./kept-environments.ts";
import { checkSanity } from "./phases/check-sanity.ts";
import type { Room } from "./room.ts";
import { sanityDigest } from "./sanity.ts";
import type { SanityRecord } from "./sanity-records.ts";
import { SingleFlight } from "./single-flight.ts";

/** A task may have been found unsound for a reason that passes, like a machine under load: it is tried again after this. */
const UNSOUND_FOR_MS = 60 * 60_000;

/** What is taken for granted where SANITY_CHECK is off: nothing was tried, so nothing can be guarded by a canary. */
const taskOnTrust = { isSound: true, hasReference: false, detail: "", selfChanged: [], guards: [] } as const;

export class Sanities {
  readonly #room: Room;
  readonly #flights = new SingleFlight<SanityRecord, symbol>();

  constructor(room: Room) {
    this.#room = room;
  }

  /** @throws AppError of a platform fault; the signal's reason when it aborts */
  async check(task: TaskSpec, environment: KeptEnvironment, signal: AbortSignal): Promise<SanityRecord> {
    const room = this.#room;
    if (!room.settings.requiresSanity) return { ...taskOnTrust, checkedAtMs: room.clock.now() };
    const digest = sanityDigest(task, room.settings);
    const known = await room.sanity.find(environment.key, digest);
    if (known !== undefined && (known.isSound || room.clock.now() - known.checkedAtMs < UNSOUND_FOR_MS)) return known;
    const work = async (flightSignal: AbortSignal) => {
      const startMs = room.clock.monotonicMs();
      const found = await checkSanity(room, task, environment, flightSignal);
      flightSignal.throwIfAborted();
      await room.sanity.put(environment.key, digest, found);
      const durationMs = Math.round(room.clock.monotonicMs() - startMs);
      room.logger.info({ key: environment.key, digest, isSound: found.isSound, durationMs }, "task checked");
      return found;
    };
    // The environment's id is part of the key: one that was made again is another.
    const key = `${environment.imageId} ${digest}`;
    const { value } = await this.#flights.run(key, Symbol(), signal, (context) => work(context.signal));
    return value;
  }
}
