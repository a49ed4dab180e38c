/**
 * Who among the processes of this machine owns a folder, decided by the kernel: an abstract Unix socket named after the
 * folder's device and inode can be bound once, and is free again the moment its process ends, however it ends. It cannot
 * be left behind and cannot be raced for, which no protocol over lock files achieves when it must take over dead ones.
 * Processes in another network namespace (containers, other hosts) don't see it: the lock file speaks for those.
 */
import { stat } from "node:fs/promises";
import { createServer } from "node:net";

/**
 * @returns releases the folder; undefined where another process of this machine holds it
 * @throws where the folder can't be read
 */
export async function guardFolder(path: string): Promise<(() => Promise<void>) | undefined> {
  // Elsewhere there are no abstract sockets; the lock file alone decides.
  if (process.platform !== "linux") return async () => {};
  const { dev, ino } = await stat(path, { bigint: true });
  const server = createServer((socket) => socket.destroy());
  const isOurs = await new Promise<boolean>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve(false);
      else reject(error);
    });
    server.listen({ path: `\0proctor-data-${dev}-${ino}` }, () => resolve(true));
  });
  if (!isOurs) return undefined;
  server.unref();
  return () => new Promise((resolve) => server.close(() => resolve()));
}
