/** Which addresses may be connected to on behalf of untrusted code: never the operator's own network. */
import { BlockList, isIP } from "node:net";
import { AppError } from "../../kernel/errors.ts";

/**
 * Special-purpose ranges of IANA's registries (RFC 6890 and its updates): nothing public lives there. The IPv4-mapped
 * range is not listed: BlockList judges such an address by the IPv4 address inside, and would take the range for all of IPv4.
 */
const reserved: readonly (readonly [network: string, prefix: number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16], // link-local, cloud metadata
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
  ["::", 96], // unspecified, loopback, IPv4-compatible
  ["64:ff9b::", 96], // NAT64: reaches any IPv4 address
  ["64:ff9b:1::", 48],
  ["100::", 64],
  ["2001::", 23], // Teredo, ORCHID and kin
  ["2001:db8::", 32],
  ["2002::", 16], // 6to4
  ["3fff::", 20],
  ["5f00::", 16],
  ["fc00::", 7],
  ["fe80::", 9], // link-local and the old site-local
  ["ff00::", 8],
];

/** Decides whether an address may be connected to. */
export type AddressRule = (address: string) => boolean;

/**
 * @param allowedCidrs ranges that the operator allows although they are reserved (EGRESS_ALLOW_CIDRS), `10.1.0.0/16`
 * @throws AppError `invalid_config` naming the range that is malformed
 */
export function addressRule(allowedCidrs: readonly string[]): AddressRule {
  const allowed = new BlockList();
  for (const cidr of allowedCidrs) addCidr(allowed, cidr);
  const refused = new BlockList();
  for (const [network, prefix] of reserved) refused.addSubnet(network, prefix, familyName(network));
  return (address) => {
    const plain = unmapped(address);
    const family = isIP(plain);
    if (family === 0) return false;
    const name = family === 4 ? "ipv4" : "ipv6";
    return allowed.check(plain, name) || !refused.check(plain, name);
  };
}

function addCidr(list: BlockList, cidr: string): void {
  const [network = "", prefixText = ""] = cidr.split("/");
  const family = isIP(network);
  const prefix = /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : Number.NaN;
  if (family === 0 || cidr.split("/").length !== 2 || !(prefix <= (family === 4 ? 32 : 128))) {
    throw new AppError(
      "invalid_config",
      `EGRESS_ALLOW_CIDRS: ${JSON.stringify(cidr.slice(0, 80))} is not a range like 10.1.0.0/16 or fd00::/8`,
    );
  }
  list.addSubnet(network, prefix, familyName(network));
}

/** `::ffff:10.0.0.1` is 10.0.0.1 to the kernel, so it is to us. */
function unmapped(address: string): string {
  const match = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i.exec(address);
  return match?.[1] ?? address;
}

function familyName(network: string): "ipv4" | "ipv6" {
  return isIP(network) === 4 ? "ipv4" : "ipv6";
}
