/**
 * A real subtensor runtime behind a loopback port: chopsticks on the chain file. Run as a child process, so that it can be
 * killed and started again as a node is. Without a database, so chopsticks' sqlite is never loaded.
 * Arguments: chain file, port. Prints `ready <port>` and ends with its parent.
 */
import { setupWithServer } from "@acala-network/chopsticks";

const [, , genesis, port] = process.argv;
process.on("disconnect", () => process.exit(0));
const { addr } = await setupWithServer({
  genesis,
  port: Number(port),
  host: "127.0.0.1",
  "build-block-mode": "Manual",
});
process.send?.({ ready: Number(String(addr).split(":").at(-1)) });
