/** Clients that mean harm, against the whole server (A08, A13, A14, U05, H01; the details are tested at the door). */
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeSmallRepository, smallArchive } from "./support/archive.ts";
import { makeDataDir, startServer, type TestServer } from "./support/server.ts";
import { call, makeValidator } from "./support/validator.ts";

const [alice, bob] = [makeValidator(31), makeValidator(32)];
const folder = await makeDataDir();
let server: TestServer;

beforeAll(async () => {
  server = await startServer(`${folder.path}/data`, {
    VALIDATOR_HOTKEYS: [alice.hotkey, bob.hotkey].join(","),
    REPO_URL_TEMPLATE: makeSmallRepository(folder.path).template,
    CONSENSUS_THRESHOLD: "1",
    CONSENSUS_TTL_SECS: "600",
  });
});
afterAll(async () => {
  await server.end("SIGKILL");
  await folder[Symbol.asyncDispose]();
});

it("A08 takes exactly one of 50 identical requests at once", async () => {
  const archive = smallArchive({ name: "identical" });
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => alice.submit(server.url, archive, { nonce: "one-nonce" })),
  );
  const byStatus = (status: number) => answers.filter((answer) => answer.status === status);
  expect(byStatus(202)).toHaveLength(1);
  // The limiter may answer some before the nonce is looked at.
  expect(byStatus(401).length + byStatus(429).length).toBe(49);
  for (const { body } of byStatus(401)) expect(body.error).toBe("nonce_reused");
});

it("A14 answers a good caller while 32 clients at the same address send bad signatures as fast as they can for 10 s", async () => {
  const statuses = new Map<number, number>();
  const stop = AbortSignal.timeout(10_000);
  const flood = async () => {
    while (!stop.aborted) {
      const headers = { ...alice.sign(String(Math.random())), "X-Signature": randomSignature() };
      const { status } = await call(`${server.url}/submit`, { method: "POST", headers, body: "x" });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  };
  const floods = Array.from({ length: 32 }, flood);
  const times: number[] = [];
  for (let number = 0; number < 8; number++) {
    await sleep(900);
    const startedAt = performance.now();
    const answer = await bob.submit(server.url, smallArchive({ name: `good-${number}` }));
    times.push(performance.now() - startedAt);
    expect(answer.status).toBe(202);
  }
  await Promise.all(floods);
  const total = [...statuses.values()].reduce((a, b) => a + b, 0);
  console.log(
    `bad requests answered: ${total} in 10 s, ${JSON.stringify([...statuses])}; good ones took at most ${Math.round(Math.max(...times))} ms`,
  );
  expect(Math.max(...times)).toBeLessThan(2_000);
  expect(statuses.get(429) ?? 0).toBeGreaterThan(0);
  expect([...statuses.keys()].every((status) => status === 401 || status === 429)).toBe(true);
}, 60_000);

function randomSignature(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(64))).toString("hex");
}

describe("uploads", () => {
  it("U05 an upload cut off at 99 % counts no vote and leaves nothing", async () => {
    const before = (await call(`${server.url}/batches`)).body.length;
    await Promise.all(Array.from({ length: 20 }, (_, number) => cutUpload(`cut-${number}`)));
    await expect.poll(async () => (await call(`${server.url}/batches`)).body.length).toBe(before);
    // Twenty cuts are more than there are upload slots: all of them must come back.
    const submitAgain = async () => (await alice.submit(server.url, smallArchive({ name: "after-cuts" }))).status;
    await expect.poll(submitAgain, { timeout: 5_000 }).toBe(202);
  });

  /** Sends all of a form but its last bytes, then resets the connection. */
  function cutUpload(name: string): Promise<void> {
    const archive = smallArchive({ name });
    const head = '--b\r\nContent-Disposition: form-data; name="archive"; filename="a.zip"\r\n\r\n';
    const form = Buffer.concat([Buffer.from(head), archive, Buffer.from("\r\n--b--\r\n")]);
    return new Promise((done) => {
      const outgoing = request(`${server.url}/submit`, {
        method: "POST",
        headers: {
          ...alice.sign(`nonce-${name}`),
          "content-type": "multipart/form-data; boundary=b",
          "content-length": form.length,
        },
      });
      outgoing.on("error", () => done());
      outgoing.on("close", () => done());
      outgoing.write(form.subarray(0, Math.floor(form.length * 0.99)), () => {
        setTimeout(() => outgoing.destroy(), 100);
      });
    });
  }
});
