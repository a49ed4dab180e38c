/** H01 H02 H07: malformed and slow HTTP, idle connections, secrets; and how the door closes. */
import type { Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AppError } from "../../src/kernel/errors.ts";
import { deferred } from "../../src/kernel/signals.ts";
import { closed, dial, type Kit, openKit, rawExchange, signed } from "./kit.ts";

let kit: Kit;
let ready: () => Promise<unknown> = async () => {};

beforeAll(async () => {
  kit = await openKit({
    environment: { READ_TOKEN: "reader-token-1", ADMIN_TOKEN: "admin-token-2", PUBLIC_OUTPUTS: "summary" },
    bounds: { headersTimeoutMs: 400, connectionCheckMs: 100, readinessMs: 100, readinessCacheMs: 0 },
    readiness: { store: () => ready() },
  });
}, 60_000);
afterAll(() => kit[Symbol.asyncDispose](), 60_000);

describe("H02: malformed requests are 4xx in JSON", () => {
  const requests = [
    {
      why: "CL and TE",
      bytes: "POST /submit HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    },
    {
      why: "two lengths",
      bytes: "POST /submit HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    },
    {
      why: "bad chunk",
      bytes:
        "POST /submit HTTP/1.1\r\nHost: x\r\nX-Hotkey: h\r\nX-Nonce: n\r\nX-Signature: s\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
      // its head was good: the body is the upload's
      error: "upload_failed",
    },
    {
      why: "odd coding",
      bytes: "POST /submit HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    },
    { why: "no host", bytes: "GET /health HTTP/1.1\r\n\r\n" },
    { why: "bad host", bytes: "GET /health HTTP/1.1\r\nHost: a b/c\r\nConnection: close\r\n\r\n" },
    { why: "backslash", bytes: "GET /a\\b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" },
    { why: "no HTTP at all", bytes: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n" },
    { why: "too many headers in bytes", bytes: `GET /health HTTP/1.1\r\nHost: x\r\n${"A: b\r\n".repeat(5_000)}\r\n` },
    { why: "space before the colon", bytes: "GET /health HTTP/1.1\r\nHost : x\r\n\r\n" },
  ];
  it.each(requests)("$why", async ({ bytes, error = "invalid_request" }) => {
    const text = await rawExchange(kit.port, Buffer.from(bytes, "latin1"));
    expect(text).toMatch(/^HTTP\/1.1 4\d\d /);
    expect(JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4))).toMatchObject({
      error,
      message: expect.any(String),
    });
  });

  it("HTTP/1.0 without a host is a probe of old, and served", async () => {
    expect(await rawExchange(kit.port, "GET /health HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1.1 200 /);
  });

  it("an upgrade to something else is an ordinary request", async () => {
    const text = await rawExchange(
      kit.port,
      "GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n",
    );
    expect(text).toMatch(/^HTTP\/1.1 200 /);
  });

  it("a read with a body is answered, and its body not swallowed", async () => {
    const text = await rawExchange(kit.port, "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
    expect(text).toMatch(/^HTTP\/1.1 200 /);
  });
});

describe("H01: slow and idle connections", () => {
  it("slow headers are 408", async () => {
    expect(await rawExchange(kit.port, "GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ")).toMatch(/^HTTP\/1.1 408 /);
  });

  it("/health answers in < 500 ms beside 2000 idle connections, which are then closed", {
    timeout: 60_000,
  }, async () => {
    const idle: Socket[] = [];
    for (let i = 0; i < 20; i++) idle.push(...(await Promise.all(Array.from({ length: 100 }, () => dial(kit.port)))));
    for (const socket of idle) socket.on("error", () => {}).resume();
    const allClosed = Promise.all(idle.map(closed));
    const startedMs = performance.now();
    expect((await kit.get("/health")).status).toBe(200);
    expect(performance.now() - startedMs).toBeLessThan(500);
    await allClosed;
  });
});

describe("who may read", () => {
  it("a token that is sent must be right, even where none is needed", async () => {
    expect((await kit.get("/status")).status).toBe(200);
    expect((await kit.get("/status", bearer("reader-token-1"))).status).toBe(200);
    expect((await kit.get("/status", bearer("admin-token-2"))).status).toBe(200);
    const wrong = await kit.get("/status", bearer("reader-token-0"));
    expect([wrong.status, await wrong.json()]).toMatchObject([401, { error: "read_auth_required" }]);
  });

  it("A14: 20 wrong tokens → 429 with Retry-After, and /health stays open", async () => {
    const answers: Response[] = [];
    for (let i = 0; i < 20; i++) answers.push(await kit.get("/status", bearer(`guess-${i}`)));
    const last = answers.at(-1);
    expect(last?.status).toBe(429);
    expect(Number(last?.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await kit.get("/health")).status).toBe(200);
  });

  it("?token= counts on live progress alone", async () => {
    await using locked = await openKit({
      beside: kit,
      environment: { READ_AUTH: "required", READ_TOKEN: "reader-token-1" },
    });
    const open = ["/health", "/ready"];
    const gated = [
      "/status",
      "/metrics",
      "/instance",
      "/batches",
      "/batch/x",
      "/batch/x/tasks",
      "/batch/x/task/y",
      "/verify/x",
      "/ws",
    ];
    for (const path of open) expect((await locked.get(path)).status, path).toBe(200);
    for (const path of gated) expect((await locked.get(path)).status, path).toBe(401);
    expect((await locked.get("/status?token=reader-token-1")).status).toBe(401);
    expect((await locked.get("/batch/x/events")).status).toBe(401);
    expect((await locked.get("/batch/x/events?token=reader-token-1")).status).toBe(404);
    expect((await locked.get("/status", bearer("reader-token-1"))).status).toBe(200);
  });

  it.each([
    ["summary", 1, ""],
    ["none", 0, undefined],
  ])("PUBLIC_OUTPUTS=%s withholds texts from strangers, not from readers", async (mode, count, output) => {
    await using kept = await openKit({
      beside: kit,
      environment: { READ_TOKEN: "reader-token-1", PUBLIC_OUTPUTS: mode },
    });
    const id = await kept.addBatch({});
    const result = { tests: [{ name: "t", passed: true, exitCode: 0 }] };
    await kept.addTask(id, {
      taskId: "a",
      ordinal: 0,
      status: "completed",
      passed: true,
      result,
      outputs: ["hidden"],
      texts: { test: "hidden" },
    });
    const path = `/batch/${id}/task/a`;
    const stranger = (await (await kept.get(path)).json()) as {
      test_results: { output: string }[];
      test_output: string;
    };
    expect([stranger.test_output, stranger.test_results.length, stranger.test_results[0]?.output]).toEqual([
      "",
      count,
      output,
    ]);
    expect(await (await kept.get(`/batch/${id}/tasks`)).text()).not.toContain("hidden");
    expect(await (await kept.get(path, bearer("reader-token-1"))).json()).toMatchObject({
      test_output: "hidden",
      test_results: [{ output: "hidden" }],
      outputs_withheld: false,
    });
  });
});

describe("/ready", () => {
  it.each([
    [
      "a fault",
      async () => Promise.reject(new AppError("store_unavailable", "postgres://u:p@host/db")),
      "store_unavailable",
    ],
    ["a part that hangs", () => new Promise<void>(() => {}), "timeout"],
  ])("names %s, without its text", async (_, check, reason) => {
    ready = check;
    const answer = await kit.get("/ready");
    ready = async () => {};
    expect([answer.status, await answer.json()]).toEqual([
      503,
      {
        status: "not_ready",
        error: "not_ready",
        message: "Not ready: store",
        checks: { store: { ready: false, reason }, validators: { ready: true, reason: null } },
      },
    ]);
    expect(answer.headers.get("retry-after")).toBe("5");
  });
});

it("H07: no secret of the environment in any answer or log line, however it was sent", async () => {
  const secrets = ["canary-reader-0123", "canary-admin-4567", "canary-database-89ab"];
  const [reader = "", admin = "", database = ""] = secrets;
  await using canary = await openKit({
    beside: kit,
    environment: { READ_TOKEN: reader, ADMIN_TOKEN: admin, DATABASE_URL: `postgres://u:${database}@db/p` },
    submit: async () => {
      throw new Error(`connect postgres://u:${database}@db/p failed`);
    },
  });
  const id = await canary.addBatch({ status: "completed" });
  const paths = [
    "/health",
    "/ready",
    "/status",
    "/metrics",
    "/instance",
    "/batches",
    `/batch/${id}`,
    `/batch/${id}/tasks`,
    `/verify/${id}`,
    `/batch/${id}/events?token=${reader}`,
    "/nope",
    `/ws?batch_id=${id}&token=wrong-${admin}`,
  ];
  let said = "";
  for (const path of paths) said += await (await canary.get(path, bearer(admin))).text();
  for (const token of [admin, `wrong-${reader}`]) said += await (await canary.get("/status", bearer(token))).text();
  const failed = await fetch(`${canary.url}/submit`, { method: "POST", headers: signed, body: "x" });
  said += await failed.text();
  expect(failed.status).toBe(500);
  const logged = canary.logLines.join("");
  for (const secret of secrets) {
    const bytes = Buffer.from(secret);
    for (const form of [secret, bytes.toString("base64").slice(0, -4), bytes.toString("hex")]) {
      expect(said).not.toContain(form);
      expect(logged).not.toContain(form);
    }
  }
});

describe("closing", () => {
  it("refuses submissions, lets a request finish, then ends", async () => {
    const entered = deferred();
    const release = deferred();
    await using closing = await openKit({
      beside: kit,
      submit: async () => {
        entered.resolve();
        await release.promise;
        throw new AppError("busy", "full");
      },
    });
    const pending = fetch(`${closing.url}/submit`, { method: "POST", headers: signed, body: "x" });
    await entered.promise;
    const ended = closing.listening.close(10_000);
    release.resolve();
    expect((await pending).status).toBe(503);
    await ended;
    await expect(closing.get("/health")).rejects.toThrow();
  });

  it("a port that is taken is one clear line", async () => {
    const { createApi } = await import("../../src/api/server.ts");
    await expect(createApi(kit.deps).listen("127.0.0.1", kit.port)).rejects.toThrow(
      /PORT=\d+ .*EADDRINUSE.*choose another PORT/,
    );
  });
});

function bearer(token: string): RequestInit {
  return { headers: { Authorization: `Bearer ${token}` } };
}
