/**
 * The site's own certificates (EXTRA_CA_FILE, as behind an inspecting proxy) for clone and install, and for nothing else.
 * They reach a build sandbox through stdin, as one bundle with the image's own, in a folder under /run that is removed
 * before anything is kept; every tool is pointed to it by its environment variable, so no configuration file changes.
 */
import { readFile } from "node:fs/promises";
import { AppError } from "../kernel/errors.ts";
import { succeeded } from "../kernel/outcome.ts";
import type { Sandbox } from "../sandbox/port.ts";
import { places } from "./places.ts";
import { mustStep, putFiles, stepFailure } from "./steps.ts";

const BUNDLE = `${places.trust}/ca.crt`;
const CA_BYTES_MAX = 8 * 1024 ** 2;

/** Empty where the site has no certificates of its own: each tool then uses what the image came with. */
export type TrustEnvironment = Readonly<Record<string, string>>;

const bundleVariables = [
  "SSL_CERT_FILE",
  "GIT_SSL_CAINFO",
  "CURL_CA_BUNDLE",
  "REQUESTS_CA_BUNDLE",
  "PIP_CERT",
  "NODE_EXTRA_CA_CERTS",
  "NPM_CONFIG_CAFILE",
  "YARN_HTTPS_CA_FILE_PATH",
  "CARGO_HTTP_CAINFO",
  "BUNDLE_SSL_CA_CERT",
  "HTTPLIB2_CA_CERTS",
  "AWS_CA_BUNDLE",
  "DENO_CERT",
] as const;

/** Makes the folder that git's own configuration and the bundle live in. @returns the variables for clone and install */
export async function bringTrust(
  sandbox: Sandbox,
  extraCaFile: string,
  signal: AbortSignal,
): Promise<TrustEnvironment> {
  await mustStep(sandbox, { name: "make a folder", argv: ["mkdir", "-p", places.trust], user: "root" }, { signal });
  const extra = extraCaFile === "" ? undefined : await readCertificates(extraCaFile);
  const files = [
    // safe.directory is only believed in configuration of this scope; the served repository belongs to another uid.
    { path: "gitconfig", kind: "file" as const, content: Buffer.from("[safe]\n\tdirectory = *\n") },
    { path: "apt.conf", kind: "file" as const, content: Buffer.from(`Acquire::https::CaInfo "${BUNDLE}";\n`) },
    { path: "extra.crt", kind: "file" as const, content: Buffer.concat([Buffer.from("\n"), extra ?? Buffer.alloc(0)]) },
  ];
  const name = "bring the certificates of EXTRA_CA_FILE";
  const put = await putFiles(sandbox, { name, user: "root", folder: places.trust }, files, signal);
  if (!succeeded(put.outcome)) throw stepFailure(name, put.outcome, put.output);
  if (extra === undefined) return {};
  const join = `cat /etc/ssl/certs/ca-certificates.crt ${places.trust}/extra.crt > ${BUNDLE}`;
  await mustStep(sandbox, { name, argv: ["bash", "-c", join], user: "root" }, { signal });
  return {
    ...Object.fromEntries(bundleVariables.map((variable) => [variable, BUNDLE])),
    APT_CONFIG: `${places.trust}/apt.conf`,
  };
}

/** Removes everything that `bringTrust` made. */
export async function removeTrust(sandbox: Sandbox, signal: AbortSignal): Promise<void> {
  const argv = ["rm", "-rf", "--", places.trust];
  await mustStep(sandbox, { name: "remove the certificates", argv, user: "root" }, { signal });
}

async function readCertificates(path: string): Promise<Buffer> {
  try {
    const bytes = await readFile(path);
    if (bytes.length <= CA_BYTES_MAX && bytes.includes("-----BEGIN CERTIFICATE-----")) return bytes;
  } catch (cause) {
    throw new AppError("infra_error", `EXTRA_CA_FILE=${path} can't be read; check the path and its permissions`, {
      cause,
    });
  }
  throw new AppError("infra_error", `EXTRA_CA_FILE=${path} is not a PEM bundle of at most ${CA_BYTES_MAX} bytes`);
}
