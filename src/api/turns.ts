/**
 * Turns for answers that hold memory while a client reads them. A few are written at once, fewer for one address, so that
 * readers who stall can't take every place; the others wait in order of arrival, for a bounded time.
 */
import { addressGroup } from "../admission/limiter.ts";
import { AppError } from "../kernel/errors.ts";
import type { Bounds } from "./bounds.ts";

export interface Turns {
  /** Resolves when it is the caller's turn; dispose the turn when the answer is out. @throws AppError `too_many_requests` */
  take(remoteAddress: string): Promise<Disposable>;
}

interface Waiter {
  readonly address: string;
  readonly admit: () => void;
}

export function createTurns(bounds: Bounds): Turns {
  const waiting = new Set<Waiter>();
  const byAddress = new Map<string, number>();
  let active = 0;

  const hasRoom = (address: string) =>
    active < bounds.outputReadersMax && (byAddress.get(address) ?? 0) < bounds.outputReadersPerAddressMax;
  const enter = (address: string): Disposable => {
    active += 1;
    byAddress.set(address, (byAddress.get(address) ?? 0) + 1);
    let isOver = false;
    return {
      [Symbol.dispose]: () => {
        if (isOver) return;
        isOver = true;
        active -= 1;
        const left = (byAddress.get(address) ?? 1) - 1;
        if (left === 0) byAddress.delete(address);
        else byAddress.set(address, left);
        next();
      },
    };
  };
  /** One place is free: the first waiter whose address has room gets it. */
  const next = () => {
    for (const waiter of waiting) {
      if (!hasRoom(waiter.address)) continue;
      waiter.admit();
      return;
    }
  };

  return {
    take(remoteAddress) {
      const address = addressGroup(remoteAddress);
      if (hasRoom(address)) return Promise.resolve(enter(address));
      if (waiting.size >= bounds.outputWaitersMax) return Promise.reject(tooMany());
      return new Promise((resolve, reject) => {
        const waiter: Waiter = {
          address,
          admit: () => {
            waiting.delete(waiter);
            clearTimeout(timer);
            resolve(enter(address));
          },
        };
        const timer = setTimeout(() => {
          waiting.delete(waiter);
          reject(tooMany());
        }, bounds.outputWaitMs);
        waiting.add(waiter);
      });
    },
  };
}

function tooMany(): AppError {
  return new AppError(
    "too_many_requests",
    "Too many clients read outputs now. Retry shortly, or read GET /batch/{id}.",
  );
}
