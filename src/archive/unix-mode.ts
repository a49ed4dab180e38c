const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [0o010000, "a fifo"],
  [0o020000, "a character device"],
  [0o060000, "a block device"],
  [0o120000, "a symbolic link"],
  [0o140000, "a socket"],
]);

/** @param mode Unix mode with its type bits; 0 where the archive says none. @returns why it is refused, or undefined */
export function fileTypeProblem(mode: number, isFolder: boolean): string | undefined {
  const type = mode & 0o170000;
  if (type !== 0 && type !== 0o100000 && type !== 0o040000) {
    return `is ${TYPE_NAMES.get(type) ?? "of an unknown kind"}; only files and folders are allowed`;
  }
  if (!isFolder && (mode & 0o6000) !== 0) return "has a setuid or setgid bit";
  return undefined;
}
