/** Who may read, and how much of it; and who is an administrator. */
import { addressGroup, constantTimeEquals, FailureLimiter } from "../admission/limiter.ts";
import type { Config } from "../config.ts";
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import type { OutputsVisible } from "./wire/task.ts";

export interface ReadRequest {
  readonly authorization: string | undefined;
  /** `?token=`, for EventSource and WebSocket, which can't send headers */
  readonly queryToken: string | undefined;
  readonly address: string;
}

export interface Reader {
  readonly outputs: OutputsVisible;
  /** its token is ADMIN_TOKEN */
  readonly isAdmin: boolean;
}

export type ReadAuth = (request: ReadRequest) => Reader;

/** Ten wrong tokens at once from one address, then one every five seconds. */
const WRONG_TOKENS = { burstCount: 10, perSecond: 0.2, subjectsMax: 16_384 };

/**
 * Checks tokens in constant time and slows guessing by address, before a token is compared.
 * With READ_AUTH=open a token is not needed but is checked where one is sent: it lifts PUBLIC_OUTPUTS.
 * @returns throws AppError `read_auth_required`, or `too_many_requests` while the address guesses
 */
export function createReadAuth(config: Config, clock: Clock): ReadAuth {
  const accepted = [config.READ_TOKEN, config.ADMIN_TOKEN].filter((token) => token !== "");
  const failures = new FailureLimiter(WRONG_TOKENS, clock);
  return ({ authorization, queryToken, address }) => {
    const token = bearer(authorization) ?? (queryToken === "" ? undefined : queryToken);
    if (token === undefined || accepted.length === 0) {
      if (config.READ_AUTH === "required") throw refused("Reading needs a token: Authorization: Bearer <token>");
      return { outputs: config.PUBLIC_OUTPUTS, isAdmin: false };
    }
    const subject = addressGroup(address);
    const waitSecs = failures.retryAfterSecs(subject);
    if (waitSecs > 0) {
      throw new AppError("too_many_requests", `Too many wrong tokens from this address. Retry in ${waitSecs} s.`, {
        details: { retry_after_secs: waitSecs },
      });
    }
    // Every accepted token is compared, so that the time says nothing about which was nearer.
    const matches = accepted.map((known) => constantTimeEquals(token, known));
    if (!matches.includes(true)) {
      failures.fail(subject);
      throw refused("This token is not accepted");
    }
    return {
      outputs: "full",
      isAdmin: config.ADMIN_TOKEN !== "" && matches[accepted.indexOf(config.ADMIN_TOKEN)] === true,
    };
  };
}

function refused(message: string): AppError {
  return new AppError("read_auth_required", message);
}

function bearer(header: string | undefined): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(header ?? "")?.[1];
}
