/** Who a request really comes from, where proxies of ours stand before the server. */
import type { IncomingMessage } from "node:http";
import { BlockList, isIP, isIPv4 } from "node:net";
import { AppError } from "../kernel/errors.ts";
import { bounds } from "./bounds.ts";

export type ClientAddress = (request: IncomingMessage) => string;

/**
 * Reads X-Forwarded-For from its right end, over proxies that are believed; the first other address is the client.
 * @param proxies addresses or CIDR ranges @throws AppError `invalid_config` naming the malformed one
 */
export function clientAddressOf(proxies: readonly string[]): ClientAddress {
  const trusted = new BlockList();
  for (const proxy of proxies) addTrusted(trusted, proxy);
  const isTrusted = (address: string) => trusted.check(address, isIPv4(address) ? "ipv4" : "ipv6");
  return (request) => {
    let address = plain(request.socket.remoteAddress ?? "");
    if (proxies.length === 0 || isIP(address) === 0) return address;
    const hops = (request.headersDistinct["x-forwarded-for"] ?? []).join(",").split(",");
    for (const hop of hops.slice(-bounds.forwardedHopsMax).reverse()) {
      if (!isTrusted(address)) break;
      const next = plain(hop.trim());
      if (isIP(next) === 0) break;
      address = next;
    }
    return address;
  };
}

function addTrusted(list: BlockList, proxy: string): void {
  const [address = "", prefix] = proxy.split("/");
  const family = isIP(address);
  const bits = family === 4 ? 32 : 128;
  const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (family === 0 || !(length >= 0 && length <= bits)) {
    throw new AppError(
      "invalid_config",
      `TRUSTED_PROXIES: ${JSON.stringify(proxy.slice(0, 80))} is neither an IP address nor a CIDR range`,
    );
  }
  list.addSubnet(address, length, family === 4 ? "ipv4" : "ipv6");
}

/** An IPv4 address that came in over an IPv6 socket is the IPv4 address. */
function plain(address: string): string {
  return address.startsWith("::ffff:") && isIPv4(address.slice(7)) ? address.slice(7) : address;
}
