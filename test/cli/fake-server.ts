/** A server that says what a test tells it to: for the client's side of the wire. */
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeServer extends AsyncDisposable {
  readonly url: string;
}

/** @param onContinue what `Expect: 100-continue` leads to; absent: the body is asked for */
export async function fakeServer(onRequest: RequestListener, onContinue?: RequestListener): Promise<FakeServer> {
  const server = createServer(onRequest);
  if (onContinue !== undefined) server.on("checkContinue", onContinue);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export function answerJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  return Buffer.concat(parts);
}
