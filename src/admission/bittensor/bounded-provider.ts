/**
 * A JSON-RPC provider for @polkadot/api that trusts its endpoint in nothing: messages are bounded, a session has one
 * deadline, and there is no reconnecting, no keep-alive timer and no line on the console.
 *
 * The socket is opened by the first request of a session and closed by `release`; the api on top outlives sessions, so
 * that the metadata (a megabyte, a third of a second to read) is fetched once per runtime version. When a session fails,
 * its requests never settle: the api would print what they say. Whoever reads awaits `session` beside them instead.
 */
import type { ApiPromise } from "@polkadot/api";

type Provider = NonNullable<NonNullable<ConstructorParameters<typeof ApiPromise>[0]>["provider"]>;
type Emitted = Parameters<Provider["on"]>[0];
type Listener = Parameters<Provider["on"]>[1];

/** Metadata of the largest runtime known is 2 MB in hex. */
export const messageCharsMax = 8 * 1024 * 1024;
/** All messages of one session together: a flood of them would keep the event loop busy until the deadline. */
export const sessionCharsMax = 32 * 1024 * 1024;
const REQUESTS_MAX = 256;

interface Session {
  readonly socket: WebSocket;
  readonly waiting: Map<number, (result: unknown) => void>;
  readonly unsent: string[];
  receivedChars: number;
}

export class BoundedProvider implements Provider {
  readonly hasSubscriptions = false;
  readonly isClonable = false;
  readonly #url: string;
  readonly #listeners = new Map<Emitted, Set<Listener>>();
  #session: Session | undefined;
  #fail: ((reason: Error) => void) | undefined;
  #nextId = 1;

  constructor(url: string) {
    this.#url = url;
  }

  /** For the api there is always a connection; a dead one shows as a failed session. */
  get isConnected(): boolean {
    return true;
  }

  /** Runs `work` in one session. @throws the session's failure, the signal's reason, or what `work` throws */
  async session<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const failed = Promise.withResolvers<never>();
    // A failure may come when nobody waits any more.
    failed.promise.catch(() => undefined);
    const onAbort = () => failed.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#fail = failed.reject;
    try {
      return await Promise.race([work(), failed.promise]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.release();
    }
  }

  /** Closes the session's socket; requests under way never settle. */
  release(): void {
    const session = this.#session;
    this.#session = undefined;
    this.#fail = undefined;
    session?.waiting.clear();
    session?.socket.close();
  }

  send<T>(method: string, params: unknown[]): Promise<T> {
    return new Promise<T>((resolve) => {
      if (this.#fail === undefined) return;
      this.#session ??= this.#open();
      const { socket, waiting, unsent } = this.#session;
      if (waiting.size >= REQUESTS_MAX) return this.#fail(new Error(`more than ${REQUESTS_MAX} requests at once`));
      const id = this.#nextId++;
      waiting.set(id, (result) => resolve(result as T));
      const message = JSON.stringify({ id, jsonrpc: "2.0", method, params });
      if (socket.readyState === WebSocket.OPEN) socket.send(message);
      else unsent.push(message);
    });
  }

  on(type: Emitted, listener: Listener): () => void {
    const listeners = this.#listeners.get(type) ?? new Set();
    this.#listeners.set(type, listeners.add(listener));
    // The api begins to load when it hears this, and asks for it once.
    if (type === "connected") queueMicrotask(() => listeners.has(listener) && listener());
    return () => listeners.delete(listener);
  }

  async connect(): Promise<void> {}

  async disconnect(): Promise<void> {
    this.release();
    this.#listeners.clear();
  }

  clone(): Provider {
    return new BoundedProvider(this.#url);
  }

  subscribe(): Promise<never> {
    return Promise.reject(new Error("subscriptions are not supported"));
  }

  unsubscribe(): Promise<never> {
    return Promise.reject(new Error("subscriptions are not supported"));
  }

  #open(): Session {
    const socket = new WebSocket(this.#url);
    const session: Session = { socket, waiting: new Map(), unsent: [], receivedChars: 0 };
    const fail = (why: string) => {
      if (this.#session === session) this.#fail?.(new Error(why));
    };
    socket.addEventListener("open", () => {
      for (const message of session.unsent.splice(0)) socket.send(message);
    });
    socket.addEventListener("message", (event) => {
      const why = this.#session === session ? receive(session, event.data) : undefined;
      if (why !== undefined) fail(why);
    });
    socket.addEventListener("error", () => fail("the connection failed"));
    socket.addEventListener("close", (event) => fail(`the connection was closed (${event.code})`));
    return session;
  }
}

/** @returns what is wrong with the message, or undefined */
function receive(session: Session, data: unknown): string | undefined {
  if (typeof data !== "string") return "it sent a binary message";
  if (data.length > messageCharsMax) return `it sent ${data.length} characters; the limit is ${messageCharsMax}`;
  session.receivedChars += data.length;
  if (session.receivedChars > sessionCharsMax) return `it sent more than ${sessionCharsMax} characters in one session`;
  let message: { readonly id?: unknown; readonly result?: unknown; readonly error?: { readonly message?: unknown } };
  try {
    message = JSON.parse(data) ?? {};
  } catch {
    return "it sent something that is not JSON";
  }
  const resolve = typeof message.id === "number" ? session.waiting.get(message.id) : undefined;
  if (resolve === undefined) return undefined;
  session.waiting.delete(message.id as number);
  if (message.error !== undefined) return `it answered with an error: ${String(message.error?.message).slice(0, 200)}`;
  resolve(message.result);
  return undefined;
}
