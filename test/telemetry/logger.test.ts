/** Log lines: JSON, one a call, and H07: no secret in them, however it is spelt. */
import { describe, expect, it } from "vitest";
import { createLogger } from "../../src/telemetry/logger.ts";

const secret = "canary-S3cret/value+1";

function capture(secrets: readonly string[] = []) {
  const lines: string[] = [];
  const logger = createLogger({ level: "info", secrets, destination: { write: (line) => lines.push(line) } });
  return { logger, lines };
}

describe("logger", () => {
  it("writes one JSON line with time, level and message", () => {
    const { logger, lines } = capture();
    logger.child({ room: "api" }).info({ status: 200 }, "request");
    logger.debug({}, "below the level");
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({
      level: "info",
      room: "api",
      status: 200,
      msg: "request",
      time: expect.stringMatching(/Z$/),
    });
  });

  const spellings = [
    ["plain", secret],
    ["inside an error", new Error(`connect to postgres://u:${secret}@host failed`)],
    ["base64", Buffer.from(secret).toString("base64")],
    ["base64url", Buffer.from(secret).toString("base64url")],
    ["base64, shifted by one", Buffer.from(`x${secret}yz`).toString("base64")],
    ["base64, shifted by two", Buffer.from(`xy${secret}z`).toString("base64")],
    ["hex", Buffer.from(secret).toString("hex")],
    ["HEX", Buffer.from(secret).toString("hex").toUpperCase()],
    ["URL", encodeURIComponent(secret)],
  ] as const;
  it.each(spellings)("H07: a secret is blotted out: %s", (_, value) => {
    const { logger, lines } = capture([secret]);
    logger.info({ err: value, note: value instanceof Error ? value.message : value }, "operation");
    const line = lines.join("");
    expect(line).toContain("[secret]");
    const text = typeof value === "string" ? value : secret;
    expect(line).not.toContain(text.slice(4, -4));
  });

  it("fields that carry secrets are replaced by name", () => {
    const { logger, lines } = capture();
    logger.info(
      { headers: { authorization: "Bearer abc", "x-signature": "0xdef" }, token: "ghi", nonce: "jkl" },
      "request",
    );
    expect(lines.join("")).not.toMatch(/abc|0xdef|ghi|jkl/);
  });

  it("an empty or tiny secret blots out nothing", () => {
    const { logger, lines } = capture(["", "a"]);
    logger.info({ a: "banana" }, "fruit");
    expect(lines.join("")).toContain("banana");
  });
});
