/**
 * A body that stopped being HTTP in its middle: the client closed its half of the connection early, or sent a malformed
 * chunk. Node tells the server and not the request, and destroying the request would destroy the connection with the
 * answer; so the request's reader is told here, and answers as the contract has it (`upload_failed`).
 */
import type { IncomingMessage } from "node:http";

const BROKEN = "proctor:broken";
const broken = new WeakSet<IncomingMessage>();

/** Tells whoever reads the body, now or later, that no more of it will come. */
export function markBroken(incoming: IncomingMessage): void {
  broken.add(incoming);
  incoming.emit(BROKEN);
}

export function isBroken(incoming: IncomingMessage): boolean {
  return broken.has(incoming);
}

/** Calls `act` once the body is broken, at once where it is already. @returns stop */
export function onBroken(incoming: IncomingMessage, act: () => void): () => void {
  if (isBroken(incoming)) act();
  incoming.once(BROKEN, act);
  return () => void incoming.off(BROKEN, act);
}
