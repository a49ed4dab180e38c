/** DOCKER_HOST, parsed once. */
import type Docker from "dockerode";
import { AppError } from "../../kernel/errors.ts";

const DEFAULT_SOCKET = "/var/run/docker.sock";

/** @returns options of the client library. @throws AppError `invalid_config` for a form that is not supported */
export function dockerOptions(dockerHost: string): Docker.DockerOptions {
  if (dockerHost === "") return { socketPath: DEFAULT_SOCKET };
  const unix = /^unix:\/\/(\/.+)$/.exec(dockerHost);
  if (unix?.[1] !== undefined) return { socketPath: unix[1] };
  const tcp = /^tcp:\/\/([^/:[\]]+|\[[0-9a-f:]+\]):(\d{1,5})\/?$/i.exec(dockerHost);
  if (tcp?.[1] !== undefined) return { protocol: "http", host: tcp[1], port: Number(tcp[2]) };
  throw new AppError(
    "invalid_config",
    `DOCKER_HOST=${JSON.stringify(dockerHost.slice(0, 80))} is neither unix:///path nor tcp://host:port`,
  );
}

/** The endpoint as messages name it. */
export function endpointName(dockerHost: string): string {
  return dockerHost === "" ? DEFAULT_SOCKET : dockerHost;
}
