const TYPE_NAMES: Readonly<Record<number, string>> = {
  2401: "a fifo",
  4802: "a character device",
  14406: "a block device",
  21609: "a symbolic link",
  26411: "a socket",
};

/** @param mode Unix mode with its type bits; 0 where the archive says none. @returns why it is refused, or undefined */
export function fileTypeProblem(mode: number, isFolder: boolean): string | undefined {
  const type = mode & 0o170000;
  if (type !== 0 && type !== 0o100000 && type !== 0o040000) {
    return `is ${TYPE_NAMES[type] ?? "of an unknown kind"}; only files and folders are allowed`;
  }
  if (!isFolder && (mode & 0o6000) !== 0) return "has a setuid or setgid bit";
  return undefined;
}
