/**
 * What the filter is written in: a rule says which answer some system calls get, in which profiles, and why.
 *
 * Theory of operation: the filter is an allow-list. What no rule names gets EPERM; what has an answer of its own is
 * refused with the number that makes programs take their fall-back. Arguments are compared with EQ and MASKED_EQ only:
 * the kernel truncates most of them to 32 bits, and an order comparison on 64 bits lets a high bit walk past it.
 */
import type { ProfileName } from "../profiles.ts";

export const errno = { EPERM: 1, ENOSYS: 38, EPROTONOSUPPORT: 93, EAFNOSUPPORT: 97 } as const;
export type Refusal = keyof typeof errno;

export interface Comparison {
  /** argument, 0 to 5 */
  readonly index: number;
  /** bits that are looked at; absent: all 64 */
  readonly mask?: number;
  readonly value: number;
}

export interface Rule {
  readonly syscalls: readonly string[];
  readonly answer: "allow" | Refusal;
  /** all must hold; each index at most once, since runtimes read two of one index as "either" */
  readonly when?: readonly Comparison[];
  readonly profiles: readonly ProfileName[];
  readonly why: string;
}

export const everywhere: readonly ProfileName[] = ["strict", "build", "paranoid"];
export const notParanoid: readonly ProfileName[] = ["strict", "build"];
export const paranoidOnly: readonly ProfileName[] = ["paranoid"];

const INT_BITS = 0xffff_ffff;

/** An `int` argument: the kernel looks at 32 bits, and so does the filter; what is above them is undefined by the ABI. */
export function int(index: number, value: number): Comparison {
  return { index, mask: INT_BITS, value };
}

/** Only the bits of `mask`. */
export function bits(index: number, mask: number, value: number): Comparison {
  return { index, mask, value };
}

/** System calls of a text, separated by blanks. */
export function named(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}
