/** Files of ours on their way into a sandbox: a tar stream that is fed to `tar -x` there. */
import { Readable } from "node:stream";
import { type Header, pack } from "tar-stream";

export interface OutgoingFile {
  /** relative to the folder it is unpacked in; checked by whoever made it */
  readonly path: string;
  readonly kind: "file" | "executable" | "link";
  /** a link's target, a file's bytes */
  readonly content: Buffer;
  /** permission bits; by default 644, or 755 of an executable */
  readonly mode?: number;
}

/** Fixed times make equal files equal tars. */
const EPOCH = new Date(0);

/** The files as one tar, made while it is read: beside the contents it holds one entry at a time. */
export function tarOf(files: Iterable<OutgoingFile>): Readable {
  return Readable.from(chunksOf(files), { objectMode: false });
}

async function* chunksOf(files: Iterable<OutgoingFile>): AsyncGenerator<Buffer> {
  const tar = pack();
  const feeding = feed(tar, files);
  // A failure of the feeder destroys the stream, whose reader below then throws it.
  feeding.catch((error: unknown) => tar.destroy(error instanceof Error ? error : new Error(String(error))));
  try {
    yield* tar as AsyncIterable<Buffer>;
  } finally {
    tar.destroy();
  }
}

async function feed(tar: ReturnType<typeof pack>, files: Iterable<OutgoingFile>): Promise<void> {
  for (const file of files) {
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error | null) => (error ? reject(error) : resolve());
      if (file.kind === "link") tar.entry(linkHeader(file), done);
      else tar.entry(fileHeader(file), file.content, done);
    });
  }
  tar.finalize();
}

function linkHeader(file: OutgoingFile): Partial<Header> & { name: string } {
  return { name: file.path, type: "symlink", linkname: file.content.toString("utf8"), mtime: EPOCH, mode: 0o777 };
}

function fileHeader(file: OutgoingFile): Partial<Header> & { name: string } {
  const mode = file.mode ?? (file.kind === "executable" ? 0o755 : 0o644);
  return { name: file.path, type: "file", size: file.content.length, mtime: EPOCH, mode };
}
