/**
 * The logger: one JSON line per operation on stdout, for machines first. Two nets keep secrets out: fields of known names
 * are replaced, and every line is searched for the secret values themselves, plain and in the encodings they travel in.
 */
import { type DestinationStream, pino } from "pino";
import type { Config } from "../config.ts";

/** What rooms log through; pino satisfies it, and so does a test's array. Fields first, then a fixed message. */
export interface Logger {
  trace(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: Record<string, unknown>): Logger;
}

export interface LoggerOptions {
  readonly level: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  /** values that may appear in no line, e.g. tokens and the database's password; shorter than 4 characters are ignored */
  readonly secrets?: readonly string[];
  /** absent: stdout */
  readonly destination?: DestinationStream;
}

const secretNames = [
  "authorization",
  "cookie",
  "token",
  "password",
  "secret",
  "signature",
  "nonce",
  "x-signature",
  "x-nonce",
  "READ_TOKEN",
  "ADMIN_TOKEN",
  "DATABASE_URL",
];
const REPLACEMENT = "[secret]";
/** A secret shorter than this would blot out innocent text. */
const SECRET_CHARS_MIN = 4;

/** Makes the process's logger. */
export function createLogger(options: LoggerOptions): Logger {
  const scrub = secretScrubber(options.secrets ?? []);
  const settings = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: {
      paths: secretNames.flatMap((name) => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]),
      censor: REPLACEMENT,
    },
    hooks: { streamWrite: scrub },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

/** The values of a configuration that may appear in no line: its tokens, and the password inside DATABASE_URL. */
export function secretsOf(config: Pick<Config, "READ_TOKEN" | "ADMIN_TOKEN" | "DATABASE_URL">): string[] {
  const url = URL.parse(config.DATABASE_URL);
  const password = url === null ? "" : url.password;
  return [config.READ_TOKEN, config.ADMIN_TOKEN, password, decodeURIComponentSafely(password)];
}

/** A password may hold a bare percent sign; then it is what it says. */
function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** @returns a function that blots `secrets` out of a text: plain, as JSON writes them, in base64 (any alignment), hex and URL encoding */
export function secretScrubber(secrets: readonly string[]): (line: string) => string {
  const forms = new Set(secrets.filter((secret) => secret.length >= SECRET_CHARS_MIN).flatMap(encodings));
  // Longest first: a form that holds another must not be left in pieces.
  const ordered = [...forms].sort((a, b) => b.length - a.length).map(escapeRegExp);
  if (ordered.length === 0) return (line) => line;
  const pattern = new RegExp(ordered.join("|"), "gi");
  return (line) => line.replace(pattern, REPLACEMENT);
}

function encodings(secret: string): string[] {
  const bytes = Buffer.from(secret, "utf8");
  const forms = [secret, JSON.stringify(secret).slice(1, -1), bytes.toString("hex"), encodeURIComponent(secret)];
  // Inside a longer base64 text the secret shows in one of three alignments; its first and last groups mix with neighbours.
  for (const before of [0, 1, 2]) {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString("base64")
      .replace(/=+$/, "");
    const whole = text.slice(before === 0 ? 0 : before + 1, (before + bytes.length) % 3 === 0 ? undefined : -1);
    if (whole.length >= SECRET_CHARS_MIN * 2) forms.push(whole, whole.replaceAll("+", "-").replaceAll("/", "_"));
  }
  return forms;
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
}

/** A logger that keeps nothing: the default of tests. */
export const silentLogger: Logger = {
  trace: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};
