/**
 * The tree that an archive's entries make, kept only to refuse what two readers could understand differently: a name
 * twice, a file where a folder is, names that a case- or Unicode-folding file system would merge.
 */
import { limits } from "../kernel/limits.ts";
import { refusal, shown } from "./refusal.ts";

interface Node {
  readonly name: string;
  /** children by folded name; absent: a file */
  readonly children: Map<string, Node> | undefined;
}

const fold = (name: string) => name.normalize("NFC").toLowerCase().normalize("NFC");

export class EntryTree {
  readonly #root = new Map<string, Node>();
  #count = 0;

  /** Takes one entry in. Folders that only paths imply count as entries. @throws AppError `extraction_failed` */
  add(segments: readonly string[], kind: "file" | "folder"): void {
    let children = this.#root;
    for (const [depth, name] of segments.entries()) {
      const isFile = kind === "file" && depth === segments.length - 1;
      const key = fold(name);
      const found = children.get(key);
      if (found === undefined) {
        if (++this.#count > limits.archiveEntriesMax) throw tooManyEntries();
        const made: Node = { name, children: isFile ? undefined : new Map() };
        children.set(key, made);
        if (made.children === undefined) return;
        children = made.children;
        continue;
      }
      const path = segments.slice(0, depth + 1).join("/");
      if (found.name !== name) {
        throw refusal(`entry ${shown(path)} differs from ${shown(found.name)} only in case or Unicode form`);
      }
      if (found.children === undefined && isFile) throw refusal(`entry ${shown(path)} appears twice`);
      if (found.children === undefined || isFile) throw refusal(`entry ${shown(path)} is both a file and a folder`);
      children = found.children;
    }
  }
}

export function tooManyEntries() {
  return refusal(`the archive has more than ${limits.archiveEntriesMax} entries`);
}
