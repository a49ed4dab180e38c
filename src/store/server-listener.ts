/**
 * LISTEN on a PostgreSQL server. One connection serves every channel; it is made when the first listener comes. When it
 * is lost it is made again with back-off, every channel is listened to again, and then each listener is told that
 * notifications may have been missed (`onGap`). A heartbeat finds connections that died without a word.
 */
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { checkChannel, type StoreLogger } from "./backend.ts";
import { translate } from "./errors.ts";

const BACKOFF_FIRST_MS = 200;
const BACKOFF_MAX_MS = 5_000;
const HEARTBEAT_MS = 10_000;
const HEARTBEAT_ANSWER_MS = 5_000;

interface Subscription {
  readonly onNotify: (payload: string) => void;
  readonly onGap: () => void;
}

export class ServerListener {
  readonly #connection: pg.ClientConfig;
  readonly #logger: StoreLogger | undefined;
  readonly #channels = new Map<string, Set<Subscription>>();
  readonly #closing = new AbortController();
  #client: pg.Client | undefined;
  #connecting: Promise<void> | undefined;

  constructor(connection: pg.ClientConfig, logger: StoreLogger | undefined) {
    this.#connection = connection;
    this.#logger = logger;
  }

  /** Resolves once the server listens. @throws AppError `store_unavailable` when the first connection fails */
  async listen(channel: string, onNotify: (payload: string) => void, onGap: () => void): Promise<() => Promise<void>> {
    checkChannel(channel);
    const subscription: Subscription = { onNotify, onGap };
    const subscriptions = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, subscriptions.add(subscription));
    const stop = async () => {
      subscriptions.delete(subscription);
      if (subscriptions.size > 0 || this.#channels.get(channel) !== subscriptions) return;
      this.#channels.delete(channel);
      await this.#client?.query(`unlisten ${channel}`).catch(() => undefined);
    };
    try {
      await this.#connected();
      await this.#client?.query(`listen ${channel}`);
    } catch (error) {
      await stop();
      throw translate(error);
    }
    return stop;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#channels.clear();
    await this.#connecting?.catch(() => undefined);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }

  #connected(): Promise<void> {
    if (this.#client !== undefined) return Promise.resolve();
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<void> {
    this.#closing.signal.throwIfAborted();
    const client = new pg.Client(this.#connection);
    client.on("error", (error) => this.#lost(client, error));
    client.on("end", () => this.#lost(client, new Error("connection ended")));
    client.on("notification", ({ channel, payload }) => {
      for (const each of [...(this.#channels.get(channel) ?? [])]) each.onNotify(payload ?? "");
    });
    try {
      await client.connect();
      for (const channel of this.#channels.keys()) await client.query(`listen ${channel}`);
    } catch (error) {
      await client.end().catch(() => undefined);
      throw error;
    }
    this.#client = client;
    void this.#heartbeat(client);
  }

  #lost(client: pg.Client, error: Error): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    client.end().catch(() => undefined);
    if (this.#closing.signal.aborted) return;
    this.#logger?.warn({ err: error.message }, "lost the connection that listens for notifications");
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    const { signal } = this.#closing;
    for (let waitMs = BACKOFF_FIRST_MS; !signal.aborted; waitMs = Math.min(waitMs * 2, BACKOFF_MAX_MS)) {
      try {
        await this.#connected();
        this.#logger?.info({}, "listening for notifications again");
        for (const each of [...this.#channels.values()].flatMap((set) => [...set])) each.onGap();
        return;
      } catch {
        await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #heartbeat(client: pg.Client): Promise<void> {
    const { signal } = this.#closing;
    while (this.#client === client && !signal.aborted) {
      try {
        await sleep(HEARTBEAT_MS, undefined, { signal, ref: false });
      } catch {
        return;
      }
      const answer = client.query("select 1");
      const late = sleep(HEARTBEAT_ANSWER_MS, "late", { ref: false });
      try {
        if ((await Promise.race([answer, late])) === "late") throw new Error("no answer to a heartbeat");
      } catch (error) {
        answer.catch(() => undefined);
        this.#lost(client, error as Error);
      }
    }
  }
}
