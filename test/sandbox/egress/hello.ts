/** The first bytes of real TLS clients: what Node's own client says, with no server near. */
import { once } from "node:events";
import { duplexPair } from "node:stream";
import { connect } from "node:tls";

/** @param servername absent: a client that names no host */
export async function helloOf(servername?: string): Promise<Buffer> {
  const [ours, theirs] = duplexPair();
  const client = connect({ socket: theirs, ...(servername === undefined ? {} : { servername }) });
  client.on("error", () => {});
  const [bytes] = (await once(ours, "data")) as [Buffer];
  client.destroy();
  return bytes;
}
