/** Names of requests: what an error body and the log line have in common. */
import { randomBytes } from "node:crypto";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Ten characters that can't be taken for a digest or a container's id. */
export function requestId(): string {
  return `R${[...randomBytes(9)].map((byte) => ALPHABET[byte % ALPHABET.length]).join("")}`;
}
