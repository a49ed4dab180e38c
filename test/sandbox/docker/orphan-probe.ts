/** Run by hostility.docker.test.ts as a server that is killed or stopped: opens a sandbox, says its id, waits. */
import { createDockerHost } from "../../../src/sandbox/docker/host.ts";
import { bash, specOf } from "../contract.ts";
import { image } from "../engine.ts";

const [instance = "orphan"] = process.argv.slice(2);
const host = createDockerHost({ instance, image, deadManMs: 2_000 });
const sandbox = await host.open(specOf(instance, image));
const running = sandbox.run(bash("sleep 600"));
process.stdout.write(`${sandbox.id}\n`);
await running;
