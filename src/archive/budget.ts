/** What one archive may unpack to, counted while it happens and before it where the archive says so itself. */
import { limits } from "../kernel/limits.ts";
import { refusal } from "./refusal.ts";

export class UnpackBudget {
  readonly #archiveBytes: number;
  #unpackedBytes = 0;

  /** @param archiveBytes size of the archive file */
  constructor(archiveBytes: number) {
    this.#archiveBytes = archiveBytes;
  }

  /** @throws AppError `extraction_failed` when `bytes` more would pass a limit; nothing is counted then */
  check(bytes: number): void {
    const total = this.#unpackedBytes + bytes;
    if (!(total <= limits.archiveUnpackedBytesMax)) {
      throw refusal(`the archive unpacks to more than ${limits.archiveUnpackedBytesMax} bytes`);
    }
    if (total > limits.archiveRatioFloorBytes && total > this.#archiveBytes * limits.archiveRatioMax) {
      throw refusal(`the archive unpacks to more than ${limits.archiveRatioMax} times its size`);
    }
  }

  take(bytes: number): void {
    this.check(bytes);
    this.#unpackedBytes += bytes;
  }
}
