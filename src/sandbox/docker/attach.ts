/** The connection that carries a supervisor's frames. */
import type { Duplex } from "node:stream";
import type Docker from "dockerode";

/**
 * Attaches to a container that was not started yet, so that no byte is lost: a connection of its own, upgraded to raw
 * bytes. The request has no body (the client's own `attach` sends JSON, which can end up in the container's stdin).
 */
export function attach(docker: Docker, id: string): Promise<Duplex> {
  const request = {
    path: `/containers/${id}/attach?`,
    method: "POST",
    hijack: true,
    isStream: true,
    file: Buffer.alloc(0),
    options: { stream: true, stdin: true, stdout: true, stderr: true },
    statusCodes: { 200: true, 404: "no such container", 500: "server error" },
  };
  return new Promise((resolve, reject) => {
    docker.modem.dial(request, (error: unknown, stream: unknown) => {
      if (error === null) resolve(stream as Duplex);
      else reject(error);
    });
  });
}
