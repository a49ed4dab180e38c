/** Chains and impostors on loopback: chopsticks as a child process, and endpoints that hang or lie. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { type WebSocket, WebSocketServer } from "ws";
import { hotkeyOf } from "../../../src/admission/ss58.ts";
import type { PublicKeyHex } from "../../../src/kernel/ids.ts";

const chainFile = fileURLToPath(new URL("../../../../shared/chain/raonet.json", import.meta.url));
const program = fileURLToPath(new URL("chopsticks.mjs", import.meta.url));

/** Why the chain tests can't run here; undefined where they can. */
export const whyNoChain = existsSync(chainFile) ? undefined : "the chain file ../shared/chain/raonet.json is absent";

export interface TestChain extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Sets what the next block says of a subnet. */
  setNeurons(netuid: number, neurons: readonly TestNeuron[]): Promise<void>;
}

export interface TestNeuron {
  readonly publicKey: PublicKeyHex;
  readonly hasPermit: boolean;
  readonly isActive: boolean;
  readonly stakeRao: bigint;
}

/** chopsticks builds its first block by the wall clock, and fails where a slot ends meanwhile: tried again. */
async function forkChain(port: number): Promise<{ readonly child: ChildProcess; readonly ready: number }> {
  for (let tries = 0; tries < 4; tries++) {
    const child = fork(program, [chainFile, String(port)], { stdio: ["ignore", "ignore", "ignore", "ipc"] });
    const ready = await Promise.race([
      once(child, "message").then(([message]) => (message as { readonly ready: number }).ready),
      once(child, "exit").then(() => undefined),
    ]);
    if (ready !== undefined) return { child, ready };
  }
  throw new Error("chopsticks did not start in 4 tries");
}

/** @param port 0: any */
export async function startChain(port = 0): Promise<TestChain> {
  const { child, ready } = await forkChain(port);
  const rpc = async (method: string, params: unknown): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${ready}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    const answer = (await response.json()) as { readonly error?: { readonly message: string } };
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`);
  };
  return {
    url: `ws://127.0.0.1:${ready}`,
    port: ready,
    setNeurons: (netuid, neurons) =>
      rpc("dev_setStorage", [
        {
          SubtensorModule: {
            Keys: neurons.map(({ publicKey }, uid) => [[netuid, uid], hotkeyOf(publicKey)]),
            ValidatorPermit: [[[netuid], neurons.map(({ hasPermit }) => hasPermit)]],
            Active: [[[netuid], neurons.map(({ isActive }) => isActive)]],
            TotalHotkeyAlpha: neurons.map(({ publicKey, stakeRao }) => [
              [hotkeyOf(publicKey), netuid],
              String(stakeRao),
            ]),
          },
        },
      ]),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

export interface Impostor extends AsyncDisposable {
  readonly url: string;
  /** connections it has had */
  readonly connections: { count: number };
}

/** An endpoint that takes connections and does with each message what `answer` says. */
export async function startImpostor(answer: (socket: WebSocket, message: string) => void): Promise<Impostor> {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  const connections = { count: 0 };
  server.on("connection", (socket) => {
    connections.count++;
    socket.on("error", () => undefined);
    socket.on("message", (data) => answer(socket, String(data)));
  });
  await once(server, "listening");
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections,
    async [Symbol.asyncDispose]() {
      for (const socket of server.clients) socket.terminate();
      server.close();
      await once(server, "close");
    },
  };
}
