/**
 * The server's own key: made at the first start under DATA_DIR, the same ever after. Its SS58 is the audience that
 * version 2 signatures name; it signs what the server states of its results.
 */
import { randomBytes } from "node:crypto";
import { chmod, link, mkdir, open, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../kernel/errors.ts";
import type { Hotkey } from "../kernel/ids.ts";
import { readSigner, type SigningKey, writeKeyFile } from "./keys.ts";

export const serverKeyFileName = "instance-key.json";

export interface ServerKey extends SigningKey {
  /** the key's SS58: what version 2 nonces name */
  readonly audience: Hotkey;
}

/**
 * Opens the key of `dataDir`, or makes it.
 * @throws AppError `invalid_config` where the file is damaged or open to others; it is never made anew in its place
 */
export async function openServerKey(dataDir: string): Promise<ServerKey> {
  const path = join(dataDir, serverKeyFileName);
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) await create(dataDir, path);
  else if ((info.mode & 0o077) !== 0) {
    const mode = (info.mode & 0o777).toString(8).padStart(3, "0");
    throw new AppError(
      "invalid_config",
      `the server's key ${path} is open to others (mode ${mode}); run "chmod 600 ${path}"`,
    );
  }
  const key = await readSigner(path);
  return { ...key, audience: key.hotkey };
}

/** Whole or not at all, and never over another's: written aside, then linked to its name. */
async function create(dataDir: string, path: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  try {
    await writeKeyFile(draft, { seed: `0x${randomBytes(32).toString("hex")}` });
    await chmod(draft, 0o600);
    await link(draft, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    });
    const folder = await open(dataDir, "r");
    await folder.sync().finally(() => folder.close());
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code ?? "unknown";
    throw new AppError("invalid_config", `the server's key ${path} can't be made (${code}); check DATA_DIR`, { cause });
  } finally {
    await unlink(draft).catch(() => undefined);
  }
}
