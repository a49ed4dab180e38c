/** Ends a `switch` over a closed union: a member that was forgotten is a compile error here, and a throw at run time. */
export function assertNever(value: never): never {
  throw new Error(`unreachable value ${JSON.stringify(value)}`);
}
