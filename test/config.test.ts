/** Names and defaults that deployments use, and what stops a start: CONTRACT.md, "Environment variables". */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadConfig } from "../src/config.ts";
import type { AppError } from "../src/kernel/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "proctor-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const refusalOf = (environment: Record<string, string>, file?: string) => {
  try {
    loadConfig({ environment, ...(file === undefined ? {} : { file }) });
  } catch (error) {
    expect(error).toMatchObject({ code: "invalid_config" });
    return (error as AppError).message;
  }
  return expect.unreachable("was accepted");
};

it("has the contract's defaults", () => {
  expect(loadConfig({ environment: { PORT: "", READ_AUTH: "" } })).toMatchObject({
    PORT: 8080,
    SESSION_TTL_SECS: 7200,
    MAX_CONCURRENT_TASKS: 8,
    CLONE_TIMEOUT_SECS: 180,
    AGENT_TIMEOUT_SECS: 600,
    TEST_TIMEOUT_SECS: 300,
    MAX_ARCHIVE_BYTES: 524_288_000,
    MAX_OUTPUT_BYTES: 1_048_576,
    WORKSPACE_BASE: "/tmp/sessions",
    BITTENSOR_NETUID: 100,
    MIN_VALIDATOR_STAKE_TAO: 10_000,
    VALIDATOR_REFRESH_SECS: 300,
    CONSENSUS_THRESHOLD: 0.5,
    CONSENSUS_TTL_SECS: 60,
    MAX_PENDING_CONSENSUS: 100,
    HOST: "0.0.0.0",
    INSTALL_TIMEOUT_SECS: 600,
    MAX_ACTIVE_BATCHES: 4,
    MAX_QUEUED_TASKS: 10_000,
    TASK_MEMORY_MB: 2048,
    TASK_CPUS: 1,
    TASK_PIDS: 256,
    MAX_FLOOD_BYTES: 1_073_741_824,
    TASK_DISK_MB: 1024,
    TRUSTED_PROXIES: [],
    PUBLIC_OUTPUTS: "full",
    REPO_URL_TEMPLATE: "https://github.com/{owner}/{name}.git",
    READ_AUTH: "open",
    SIGNATURE_MIN_VERSION: 1,
  });
});

describe("a malformed value is refused in one line that names it", () => {
  it.each([
    { name: "CONSENSUS_THRESHOLD", value: "0", why: "the range is open below" },
    { name: "CONSENSUS_THRESHOLD", value: "1.01", why: "above one" },
    { name: "CONSENSUS_THRESHOLD", value: "-0.5", why: "below zero" },
    { name: "CONSENSUS_THRESHOLD", value: "NaN", why: "no number" },
    { name: "PORT", value: "70000", why: "no such port" },
    { name: "AGENT_TIMEOUT_SECS", value: "1.5", why: "not whole" },
    { name: "MAX_CONCURRENT_TASKS", value: "0", why: "nothing would ever run" },
    { name: "READ_AUTH", value: "maybe", why: "not of the list" },
    { name: "READ_AUTH", value: "required", why: "no token to ask for" },
    { name: "REPO_URL_TEMPLATE", value: "github.com", why: "no place for owner and name" },
    { name: "DATABASE_URL", value: "localhost", why: "no URL of PostgreSQL" },
    { name: "EXTRA_CA_FILE", value: "/nonexistent.pem", why: "no such file" },
  ])("$name=$value: $why", ({ name, value }) => {
    const message = refusalOf({ [name]: value });
    expect(message).toContain(name);
    expect(message).not.toContain("\n");
  });

  it("an unknown key in the file", () => {
    const path = join(folder, "config.json");
    writeFileSync(path, JSON.stringify({ PORTT: 1 }));
    expect(refusalOf({}, path)).toContain("PORTT");
  });

  it("never repeats a secret", () => {
    expect(refusalOf({ ADMIN_TOKEN: `canary${"x".repeat(600)}` })).not.toContain("canary");
  });
});

it.each(["1", "0.5", ".1"])("CONSENSUS_THRESHOLD=%s is inside (0, 1]", (value) => {
  expect(loadConfig({ environment: { CONSENSUS_THRESHOLD: value } }).CONSENSUS_THRESHOLD).toBe(Number(value));
});
