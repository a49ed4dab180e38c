/** The probe program: its source, its run through the port, and its run without any filter. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import Docker from "dockerode";
import type { ProfileName } from "../../../src/sandbox/profiles.ts";
import { bash, type ContractSubject, megabyte, specOf } from "../contract.ts";

const folder = join(import.meta.dirname, "../../../images/probe");
const text = (file: string) => readFileSync(join(folder, file), "utf8");

/** One file, ready for a compiler's stdin. */
export const source = text("probe.c").replace('#include "questions.inc"', () => text("questions.inc"));

const COMPILE_AND_RUN = "gcc -O1 -Wall -Werror -x c -o /tmp/probe - && /tmp/probe";

/** name → answer */
export type Answers = ReadonlyMap<string, string>;

function parse(output: string): Answers {
  const pairs = output
    .trim()
    .split("\n")
    .map((line): [string, string] => {
      const [name = "", answer = ""] = line.split(" ");
      return [name, answer];
    });
  return new Map(pairs);
}

/** Asks as the agent's uid, in a sandbox like any other. */
export async function askUnder(subject: ContractSubject, profile: ProfileName): Promise<Answers> {
  await using sandbox = await subject.host.open(specOf(subject.instance, subject.image, { profile }));
  const { outcome, output } = await sandbox.run(bash(COMPILE_AND_RUN, { cwd: "/tmp", timeoutMs: 120_000 }), {
    stdin: Buffer.from(source),
  });
  if (outcome.kind !== "exited" || outcome.exitCode !== 0) throw new Error(`the probe failed: ${output.text}`);
  return parse(output.text);
}

/** The same uid without capabilities and without a filter: what the kernel alone would say. */
export async function askUnconfined(subject: ContractSubject): Promise<Answers> {
  const docker = new Docker();
  const container = await docker.createContainer({
    Image: subject.image,
    Labels: { "proctor.instance": subject.instance },
    Entrypoint: ["bash", "-c", `base64 -d <<<"$SOURCE" | (${COMPILE_AND_RUN})`],
    Env: [`SOURCE=${Buffer.from(source).toString("base64")}`],
    User: "10001:10001",
    HostConfig: {
      NetworkMode: "none",
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges", "seccomp=unconfined"],
      Memory: 512 * megabyte,
      PidsLimit: 128,
      LogConfig: { Type: "local", Config: { "max-size": "1m" } },
    },
  });
  try {
    await container.start();
    const { StatusCode } = await container.wait();
    const logs = await container.logs({ stdout: true, stderr: true, follow: false });
    const said = demultiplex(logs);
    if (StatusCode !== 0) throw new Error(`the unconfined probe failed: ${said}`);
    return parse(said);
  } finally {
    await container.remove({ force: true });
  }
}

/** The engine's log frames: eight bytes of head, the last four its length. */
function demultiplex(frames: Buffer): string {
  let out = "";
  for (let at = 0; at + 8 <= frames.length; ) {
    const length = frames.readUInt32BE(at + 4);
    out += frames.toString("utf8", at + 8, at + 8 + length);
    at += 8 + length;
  }
  return out;
}
