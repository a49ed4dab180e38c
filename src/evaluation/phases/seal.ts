/** The last step of an environment: what a strict sandbox will need becomes readable, and the repository moves aside. */
import type { Sandbox } from "../../sandbox/port.ts";
import { places } from "../places.ts";
import { mustStep } from "../steps.ts";

/**
 * HOME=/root and what install put there must be readable whatever uid runs. The entries of /repo are moved one by one,
 * because the folder itself belongs to the image's lower layer and can't be renamed. Some runtimes give a tmpfs the mode of
 * the folder that it is mounted on, whatever was asked: the writable places get theirs here.
 */
const script = `
set -eu
chmod -R a+rX -- ${places.home} ${places.repo}
mkdir -p ${places.base}
find ${places.repo} -mindepth 1 -maxdepth 1 -exec mv -t ${places.base} -- {} +
chmod 755 ${places.base} ${places.home}
chmod 1777 ${places.repo} ${places.task} /home /tmp /var/tmp
rm -rf -- ${places.task}/* /tmp/* /tmp/.[!.]* /var/lib/apt/lists/* /var/cache/apt/archives/*.deb ${places.home}/.cache/pip
`;

/** @throws AppError `sandbox_failed` */
export async function seal(sandbox: Sandbox, signal: AbortSignal): Promise<void> {
  await sandbox.endAll();
  await mustStep(
    sandbox,
    { name: "seal the environment", argv: ["bash", "-c", script], user: "root", timeoutMs: 300_000 },
    { signal },
  );
}
