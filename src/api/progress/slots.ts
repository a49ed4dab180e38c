/** How many clients may follow at once, in all and from one address; and the one switch that ends them all. */
import { addressGroup } from "../../admission/limiter.ts";
import { AppError } from "../../kernel/errors.ts";
import type { Meters } from "../../telemetry/meters.ts";
import type { Bounds } from "../bounds.ts";

export type Transport = "sse" | "ws";

/** A follower's place. Dispose it when the client is gone. */
export interface Slot extends Disposable {
  /** aborts when the follower must end: the client left, or the server closes */
  readonly signal: AbortSignal;
  end(): void;
}

export interface FollowerSlots {
  /** @throws AppError `too_many_followers` */
  take(transport: Transport, address: string): Slot;
  /** Ends every follower, and refuses new ones from now on. */
  endAll(): void;
  count(): number;
}

export function createFollowerSlots(bounds: Bounds, meters: Meters): FollowerSlots {
  const open = { sse: 0, ws: 0 };
  const byAddress = new Map<string, number>();
  const enders = new Set<() => void>();
  let isClosing = false;

  const change = (transport: Transport, address: string, by: 1 | -1) => {
    open[transport] += by;
    const now = (byAddress.get(address) ?? 0) + by;
    if (now === 0) byAddress.delete(address);
    else byAddress.set(address, now);
    meters.followersChanged(transport, open[transport]);
  };

  return {
    count: () => open.sse + open.ws,
    take(transport, remoteAddress) {
      const address = addressGroup(remoteAddress);
      if (isClosing) throw new AppError("shutting_down", "the server drains");
      if (enders.size >= bounds.followersMax || (byAddress.get(address) ?? 0) >= bounds.followersPerAddressMax) {
        throw new AppError("too_many_followers", `${enders.size} followers are open`, {
          details: { limit: bounds.followersMax, limit_per_address: bounds.followersPerAddressMax },
        });
      }
      const controller = new AbortController();
      const end = () => controller.abort();
      enders.add(end);
      change(transport, address, 1);
      return {
        signal: controller.signal,
        end,
        [Symbol.dispose]: () => {
          if (!enders.delete(end)) return;
          change(transport, address, -1);
          end();
        },
      };
    },
    endAll() {
      isClosing = true;
      for (const end of enders) end();
    },
  };
}
