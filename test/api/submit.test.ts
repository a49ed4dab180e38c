/** POST /submit at the door: order of checks, what is answered before the body, uploads that break or do not fit. */
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { SignedHead } from "../../src/admission/port.ts";
import type { Submit } from "../../src/api/deps.ts";
import { AppError, type ErrorCode } from "../../src/kernel/errors.ts";
import { deferred } from "../../src/kernel/signals.ts";
import {
  closed,
  dial,
  form,
  headerGate,
  type Kit,
  openKit,
  pendingVote,
  rawExchange,
  readingSubmit,
  refusal,
  signed,
} from "./kit.ts";

let kit: Kit;
let submit: Submit = readingSubmit;
let authenticate = headerGate.authenticate;

beforeAll(async () => {
  kit = await openKit({
    gate: { authenticate: (head, use) => authenticate(head, use) },
    submit: (upload) => submit(upload),
    environment: { MAX_ARCHIVE_BYTES: "1000", MAX_CONCURRENT_TASKS: "8" },
    bounds: { lingerMs: 300, lingerBytesMax: 256 * 1024 },
  });
}, 60_000);
afterAll(() => kit[Symbol.asyncDispose](), 60_000);
afterEach(() => {
  submit = readingSubmit;
  authenticate = headerGate.authenticate;
});

const post = (query = "", headers: Record<string, string> = signed) => {
  const { body, headers: type } = form();
  return fetch(`${kit.url}/submit${query}`, { method: "POST", body, headers: { ...type, ...headers } });
};
const signedLines = "Host: x\r\nX-Hotkey: 5Fake\r\nX-Nonce: n\r\nX-Signature: s\r\n";

describe("what a vote answers", () => {
  it("below quorum: pending_consensus", async () => {
    submit = async (upload) => ({ ...(await readingSubmit(upload)), totalTasks: 5 });
    const answer = await post();
    expect(answer.status).toBe(202);
    expect(await answer.json()).toEqual({
      status: "pending_consensus",
      batch_id: pendingVote.batchId,
      ws_url: `/ws?batch_id=${pendingVote.batchId}`,
      archive_hash: pendingVote.archiveDigest,
      votes: 1,
      required: 2,
      total_validators: 3,
      total_tasks: 5,
    });
  });

  it("quorum: started; a repeated vote says so", async () => {
    submit = async (upload) => {
      await readingSubmit(upload);
      return { ...pendingVote, state: "started", votes: 2, concurrentTasks: 8, repeated: true };
    };
    expect(await (await post()).json()).toMatchObject({
      consensus_reached: true,
      concurrent_tasks: 8,
      votes: 2,
      note: "Your vote was already recorded",
    });
  });

  it.each([
    ["", undefined, "absent"],
    ["?concurrent_tasks=3", 3, "in range"],
    ["?concurrent_tasks=0", 1, "clamped up"],
    ["?concurrent_tasks=-7", 1, "negative, clamped up"],
    ["?concurrent_tasks=99999999999999999999", 8, "clamped down"],
  ])("concurrent_tasks %s → %s: %s", async (query, expected, _why) => {
    let seen: number | undefined;
    submit = async (upload) => {
      seen = upload.concurrentTasks;
      return readingSubmit(upload);
    };
    expect((await post(query)).status).toBe(202);
    expect(seen).toBe(expected);
  });

  it.each(["abc", "", "1.5", "0x10", "1e3", "%00", "1&concurrent_tasks=2"])(
    "concurrent_tasks=%s is refused by name",
    async (value) => {
      const answer = await post(`?concurrent_tasks=${value}`);
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({
        error: "invalid_request",
        message: expect.stringContaining("concurrent_tasks"),
      });
    },
  );
});

describe("who calls", () => {
  const heads = [
    { why: "A01 no hotkey", lines: "X-Nonce: n\r\nX-Signature: s\r\n" },
    { why: "A01 no nonce", lines: "X-Hotkey: h\r\nX-Signature: s\r\n" },
    { why: "A01 no signature", lines: "X-Hotkey: h\r\nX-Nonce: n\r\n" },
    { why: "A01 doubled signature", lines: "X-Hotkey: h\r\nX-Nonce: n\r\nX-Signature: s\r\nX-Signature: s\r\n" },
  ];
  it.each(heads)("$why: 401 missing_auth", async ({ lines }) => {
    const text = await rawExchange(
      kit.port,
      `POST /submit HTTP/1.1\r\nHost: x\r\n${lines}Content-Length: 0\r\nConnection: close\r\n\r\n`,
    );
    expect(text).toMatch(/^HTTP\/1.1 401 /);
    expect(text).toContain('"error":"missing_auth"');
  });

  it("A01 oversize: 431 in JSON", async () => {
    const text = await rawExchange(
      kit.port,
      `POST /submit HTTP/1.1\r\nHost: x\r\nX-Hotkey: ${"h".repeat(20_000)}\r\n\r\n`,
    );
    expect(text).toMatch(/^HTTP\/1.1 431 /);
    expect(text).toContain('"error":"invalid_request"');
  });

  it("the gate sees the request line's path and the raw query, doubled headers as two", async () => {
    const seen: SignedHead[] = [];
    authenticate = async (head) => {
      seen.push(head);
      throw refusal("invalid_signature");
    };
    await rawExchange(
      kit.port,
      "POST /submit?concurrent_tasks=%34&x=1 HTTP/1.1\r\nHost: x\r\nX-Hotkey: a\r\nX-Hotkey: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    expect(seen[0]).toMatchObject({
      hotkey: ["a", "b"],
      nonce: [],
      method: "POST",
      path: "/submit",
      concurrentTasks: "4",
    });
  });

  it("A03: 401 arrives while the body is still unsent, and the connection ends", async () => {
    authenticate = async () => {
      throw refusal("unauthorized_hotkey");
    };
    // A gigabyte is announced; not one byte of it is sent.
    const text = await rawExchange(
      kit.port,
      `POST /submit HTTP/1.1\r\n${signedLines}Content-Length: 1000000000\r\n\r\n`,
    );
    expect(text).toMatch(/^HTTP\/1.1 401 /);
    expect(text.toLowerCase()).toContain("connection: close");
    expect(text).toContain('"message":"Hotkey is not authorized"');
  });

  it("A03: a refused upload that keeps coming is not swallowed for ever", async () => {
    authenticate = async () => {
      throw refusal("unauthorized_hotkey");
    };
    const socket = await dial(kit.port);
    socket.on("error", () => {});
    let answer = "";
    socket.on("data", (piece) => {
      answer += piece.toString();
    });
    socket.write(`POST /submit HTTP/1.1\r\n${signedLines}Content-Length: 1000000000\r\n\r\n`);
    const piece = Buffer.alloc(64 * 1024);
    let sent = 0;
    const pump = () => {
      while (!socket.destroyed && sent < 1e9 && socket.write(piece)) sent += piece.length;
    };
    socket.on("drain", pump);
    pump();
    await closed(socket);
    expect(answer).toContain('"error":"unauthorized_hotkey"');
    expect(socket.bytesWritten, "only what buffers hold beyond the linger's bound").toBeLessThan(64 * 1024 * 1024);
  });

  it("Expect: 100-continue is answered 100 only once the caller is known", async () => {
    const { body, headers } = form();
    const head = `POST /submit HTTP/1.1\r\n${signedLines}Content-Type: ${headers["Content-Type"]}\r\nContent-Length: ${body.length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`;
    const socket = await dial(kit.port);
    let text = "";
    socket.on("data", (piece) => {
      text += piece.toString();
      if (text === "HTTP/1.1 100 Continue\r\n\r\n") socket.write(body);
    });
    socket.write(head);
    await closed(socket);
    expect(text).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 202 /);

    const refused = await rawExchange(kit.port, head.replace("X-Signature: s", "X-Signature: bad"));
    expect(refused).toMatch(/^HTTP\/1.1 401 /);
  });

  it("no hotkey of a refused caller is logged, that of an accepted one is", async () => {
    kit.logLines.length = 0;
    await post("", { ...signed, "X-Hotkey": "5Secretive", "X-Signature": "bad" });
    await post();
    const lines = kit.logLines.join("");
    expect(lines).not.toContain("5Secretive");
    expect(lines).toContain('"hotkey":"5Fake"');
    expect(lines).not.toContain('"X-Nonce"');
  });
});

describe("what intake refuses", () => {
  const rows: readonly [ErrorCode, number, string][] = [
    ["upload_failed", 400, "Failed to read uploaded archive"],
    ["archive_too_large", 400, "Archive exceeds maximum size of 1000 bytes"],
    ["missing_archive", 400, "No archive file uploaded. Send a multipart form with field 'archive'."],
    ["too_many_pending", 503, "Too many pending consensus entries. Please retry later."],
    ["busy", 503, "A batch is already running. Wait for it to complete."],
    ["extraction_failed", 400, "Failed to extract archive. Ensure it is a valid zip or tar.gz."],
  ];
  it.each(rows)("%s → %i %s", async (code, status, message) => {
    submit = async () => {
      throw new AppError(code, "the archive holds a link", { details: { reason: "link at tasks/x" } });
    };
    const answer = await post();
    const body = (await answer.json()) as Record<string, unknown>;
    expect([answer.status, body.error, body.message]).toEqual([status, code, message]);
    if (status === 503) expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    else expect(body.reason).toBe("link at tasks/x");
  });

  it("H08: a fault says neither path, nor container, nor stack", async () => {
    submit = async () => {
      throw new AppError("disk_full", "no space left on /var/lib/proctor/spool", {
        details: { container: "f00dfeedf00d" },
      });
    };
    const known = await post();
    submit = async () => {
      throw new Error("ENOENT: open '/etc/secret' in container 3f4e5d6c7b8a");
    };
    const unforeseen = await post();
    expect([known.status, unforeseen.status]).toEqual([507, 500]);
    for (const answer of [known, unforeseen]) {
      const text = await answer.text();
      expect(text).not.toMatch(/\/var|\/etc|ENOENT|f00dfeed|3f4e5d6c|at .*\.ts|node_modules/);
      expect(JSON.parse(text)).toMatchObject({
        error: expect.any(String),
        message: expect.any(String),
        request_id: expect.any(String),
      });
    }
  });

  it("U03 U04: an upload that is cut at 99 % aborts the signal, ×50, and the door answers on", async () => {
    const reasons: unknown[] = [];
    const all = deferred();
    submit = async (upload) => {
      try {
        return await readingSubmit(upload);
      } catch {
        reasons.push(upload.signal.aborted);
        if (reasons.length === 50) all.resolve();
        throw refusal("upload_failed");
      }
    };
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const socket = await dial(kit.port);
        socket.on("error", () => {});
        socket.end(`POST /submit HTTP/1.1\r\n${signedLines}Content-Length: 100\r\n\r\n${"x".repeat(99)}`);
      }),
    );
    await all.promise;
    expect(new Set(reasons)).toEqual(new Set([true]));
    expect((await post()).status).toBe(202);
  });

  const failed = '"error":"upload_failed","message":"Failed to read uploaded archive"}';
  it.each([
    { why: "half-closed in the middle", lines: "Content-Length: 100\r\n", body: "x".repeat(50), says: failed },
    { why: "half-closed before its body", lines: "Content-Length: 100\r\n", body: "", says: failed },
    { why: "a chunk that is none", lines: "Transfer-Encoding: chunked\r\n", body: "5\r\nhello\r\nzz", says: failed },
  ])("row 7: an upload that breaks off is told so while somebody listens: $why", async ({ lines, body, says }) => {
    const socket = await dial(kit.port);
    let answer = "";
    socket.on("data", (piece) => {
      answer += piece.toString("utf8");
    });
    socket.end(`POST /submit HTTP/1.1\r\n${signedLines}${lines}\r\n${body}`);
    await closed(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer.endsWith(says), answer).toBe(true);
  });

  it("a caller who may not submit is told that, not that the upload broke off", async () => {
    const [asked, broken] = [deferred(), deferred()];
    authenticate = async () => {
      asked.resolve();
      await broken.promise;
      throw new AppError("unauthorized_hotkey", "Hotkey is not authorized");
    };
    const socket = await dial(kit.port);
    let answer = "";
    socket.on("data", (piece) => {
      answer += piece.toString("utf8");
    });
    socket.end(`POST /submit HTTP/1.1\r\n${signedLines}Content-Length: 100\r\n\r\nx`);
    await asked.promise;
    // A whole exchange later the server has seen the end of the first one's body too.
    await kit.get("/health");
    broken.resolve();
    await closed(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    expect(answer).toContain('"error":"unauthorized_hotkey"');
  });
});

describe("never 500, never hangs", () => {
  it("fuzz: heads, queries and bodies", { timeout: 60_000 }, async () => {
    const text = fc.oneof(fc.string({ maxLength: 80 }), fc.string({ unit: "binary", maxLength: 40 }));
    const request = fc.record({
      method: fc.constantFrom("POST", "GET", "PUT", "BREW", "POST "),
      query: text,
      hotkey: text,
      length: fc.oneof(fc.nat(200).map(String), fc.constantFrom("-1", "1e3", "+5", "99999999999999999999", "0x10")),
      extra: fc.constantFrom(
        "",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "Expect: tea\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade\r\n",
      ),
      body: fc.uint8Array({ maxLength: 200 }),
    });
    await fc.assert(
      fc.asyncProperty(request, async ({ method, query, hotkey, length, extra, body }) => {
        const head = `${method} /submit?concurrent_tasks=${query} HTTP/1.1\r\nHost: x\r\nX-Hotkey: ${hotkey}\r\nX-Nonce: n\r\nX-Signature: s\r\nContent-Length: ${length}\r\n${extra}\r\n`;
        const socket = await dial(kit.port);
        socket.on("error", () => {});
        let answer = "";
        socket.on("data", (piece) => {
          answer += piece.toString("latin1");
        });
        // Half-closed: whatever the head announced, the server knows that nothing more comes.
        socket.end(Buffer.concat([Buffer.from(head, "utf8"), body]));
        await closed(socket);
        expect(answer).not.toMatch(/^HTTP\/1.1 5/m);
        expect(answer).not.toMatch(/\n +at /);
      }),
      { numRuns: 200 },
    );
    expect((await kit.get("/health")).status).toBe(200);
  });

  it("fuzz: ids", { timeout: 60_000 }, async () => {
    const id = fc.oneof(fc.string({ maxLength: 60 }), fc.string({ unit: "binary", maxLength: 30 }), fc.uuid());
    const route = fc.constantFrom("/batch/", "/verify/", "/batch/0b5f9b1e-6d2b-4f52-9d0a-4a5b0c1d2e3f/task/");
    await fc.assert(
      fc.asyncProperty(route, id, fc.boolean(), async (prefix, text, escaped) => {
        const path = escaped ? encodeURIComponent(text.toWellFormed()) : text.replace(/[\s#?\\]/g, "_").toWellFormed();
        const answer = await kit.get(prefix + path);
        expect([400, 404]).toContain(answer.status);
        expect(await answer.json()).toMatchObject({ error: expect.any(String) });
      }),
      { numRuns: 150 },
    );
  });
});
