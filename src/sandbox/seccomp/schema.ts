/**
 * The seccomp file as the engine reads it, and all that we ever let it say. Engines take `{}` for "no filter" and ignore
 * what they don't know: so no field is optional, none is unknown, and only comparisons that can't be walked past exist.
 */
import * as v from "valibot";

/** System calls without which no filter is meant: a list that lost its rules must not pass as a strict one. */
const COUNT_MIN = 100;

const wide = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const index = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(5));

const argument = v.variant("op", [
  v.strictObject({ index, value: wide, valueTwo: v.literal(0), op: v.literal("SCMP_CMP_EQ") }),
  v.strictObject({ index, value: wide, valueTwo: wide, op: v.literal("SCMP_CMP_MASKED_EQ") }),
]);

const args = v.pipe(
  v.array(argument),
  v.check(
    (list) => new Set(list.map((one) => one.index)).size === list.length,
    "an index twice: runtimes read that as either of them",
  ),
  v.check(
    (list) =>
      list.every(({ op, value, valueTwo }) => {
        return op !== "SCMP_CMP_MASKED_EQ" || (BigInt(valueTwo) & ~BigInt(value)) === 0n;
      }),
    "a masked value has bits outside its mask: it never matches",
  ),
);

const names = v.pipe(v.array(v.pipe(v.string(), v.regex(/^_?[a-z][a-z0-9_]*$/))), v.minLength(1));

const rule = v.variant("action", [
  v.strictObject({ names, action: v.literal("SCMP_ACT_ALLOW"), args }),
  v.strictObject({ names, action: v.literal("SCMP_ACT_ERRNO"), errnoRet: v.picklist([1, 38, 93, 97]), args }),
]);

const noSubArchitectures = v.pipe(v.array(v.never()), v.length(0));

export const seccompSchema = v.strictObject({
  defaultAction: v.literal("SCMP_ACT_ERRNO"),
  archMap: v.strictTuple([
    v.strictObject({ architecture: v.literal("SCMP_ARCH_X86_64"), subArchitectures: noSubArchitectures }),
    v.strictObject({ architecture: v.literal("SCMP_ARCH_AARCH64"), subArchitectures: noSubArchitectures }),
  ]),
  syscalls: v.pipe(
    v.array(rule),
    v.check((list) => list.reduce((count, one) => count + one.names.length, 0) >= COUNT_MIN, "too few system calls"),
  ),
});

export type SeccompProfile = v.InferOutput<typeof seccompSchema>;
