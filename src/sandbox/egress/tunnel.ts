/** A CONNECT tunnel: the client's TLS hello is read and judged before its first byte is forwarded. */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { readClientHello } from "./client-hello.ts";
import type { Passage } from "./passage.ts";
import type { EgressReason } from "./policy.ts";

export interface TunnelOptions {
  readonly client: Duplex;
  /** what the client sent together with its CONNECT */
  readonly head: Buffer;
  readonly upstream: Socket;
  readonly passage: Passage;
  readonly clock: Clock;
  readonly helloMs: number;
}

/** Runs until both sides are closed; tells the passage then. */
export function tunnel({ client, head, upstream, passage, clock, helloMs }: TunnelOptions): void {
  const cut = () => {
    client.destroy();
    upstream.destroy();
  };
  passage.begin(cut);
  let openCount = 2;
  const onClose = () => {
    openCount--;
    if (openCount === 0) passage.end();
  };
  client.once("close", () => {
    upstream.destroy();
    onClose();
  });
  upstream.once("close", () => {
    // what it said before it ended may still be on its way to the client
    if (!upstream.readableEnded) client.destroy();
    onClose();
  });
  client.on("error", cut);
  upstream.on("error", cut);
  if (client.destroyed) return void cut();

  const decided = new AbortController();
  const stop = () => decided.abort();
  client.once("close", stop);
  clock.sleep(helloMs, decided.signal).then(
    () => passage.refuse("not_tls"),
    () => {},
  );
  let bytes = head;
  const onData = (chunk: Buffer) => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    look();
  };
  const onEnd = () => passage.refuse("not_tls");
  const look = () => {
    const verdict = judge(bytes, passage.host);
    if (verdict === "incomplete") return;
    client.off("data", onData);
    client.off("end", onEnd);
    client.pause();
    stop();
    if (verdict !== "good") return passage.refuse(verdict);
    passage.allow();
    passage.up(bytes.length);
    upstream.write(bytes);
    client.on("data", (chunk: Buffer) => passage.up(chunk.length));
    upstream.on("data", (chunk: Buffer) => passage.down(chunk.length));
    client.pipe(upstream);
    upstream.pipe(client);
  };
  client.on("data", onData);
  client.on("end", onEnd);
  if (head.length > 0) look();
}

function judge(bytes: Buffer, name: string): EgressReason | "good" | "incomplete" {
  const hello = readClientHello(bytes);
  switch (hello.kind) {
    case "incomplete":
      return "incomplete";
    case "notTls":
      return "not_tls";
    case "noName":
      return "sni_missing";
    case "name":
      return hello.name === name ? "good" : "sni_mismatch";
  }
}
