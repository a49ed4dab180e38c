/** What only an administrator may do: who is let through, and what it does. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isPinnedToV2, pinToV2 } from "../../src/admission/nonces.ts";
import { parseHotkey } from "../../src/admission/ss58.ts";
import { type Kit, openKit } from "./kit.ts";

const hotkey = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const path = `/admin/validators/${hotkey}/reset-signature-version`;
const publicKey = parseHotkey(hotkey)?.publicKey ?? ("" as never);
const post = (token?: string) => ({
  method: "POST",
  headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
});

let kit: Kit;
beforeAll(async () => {
  kit = await openKit({ environment: { READ_TOKEN: "reader-token-1", ADMIN_TOKEN: "admin-token-1" } });
});
afterAll(() => kit[Symbol.asyncDispose]());

describe("resetting a key's signature version", () => {
  it.each([
    { why: "no token", token: undefined, status: 401, error: "read_auth_required" },
    { why: "a reader's token", token: "reader-token-1", status: 403, error: "forbidden" },
    { why: "a wrong token", token: "admin-token-2", status: 401, error: "read_auth_required" },
  ])("is refused with $why", async ({ token, status, error }) => {
    const answer = await kit.get(path, post(token));
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ error });
  });

  it("is refused on a server without an administrator", async () => {
    await using other = await openKit({ beside: kit });
    expect((await other.get(path, post("anything"))).status).toBe(403);
  });

  it("lets the key submit with version 1 again", async () => {
    await pinToV2(kit.deps.store.db, publicKey, new Date());
    const answer = await kit.get(path, post("admin-token-1"));
    expect(await answer.json()).toEqual({ hotkey, was_pinned: true });
    expect(await isPinnedToV2(kit.deps.store.db, publicKey)).toBe(false);
    expect(await (await kit.get(path, post("admin-token-1"))).json()).toEqual({ hotkey, was_pinned: false });
  });

  it("names what is wrong with a malformed key, and takes POST only", async () => {
    const odd = await kit.get(path.replace(hotkey, "%3Cb%3E"), post("admin-token-1"));
    expect(odd.status).toBe(400);
    expect(await odd.text()).not.toContain("<b>");
    expect((await kit.get(path)).status).toBe(405);
  });
});
