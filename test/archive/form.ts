/** A multipart body by hand. */
export interface Part {
  readonly name: string;
  readonly filename?: string;
  readonly content: Buffer;
}

const BOUNDARY = "----proctor-test-boundary";

export const formType = `multipart/form-data; boundary=${BOUNDARY}`;

export function formOf(parts: readonly Part[]): { readonly body: Buffer; readonly contentType: string } {
  const pieces = parts.flatMap((part) => [partHead(part), part.content, Buffer.from("\r\n")]);
  return { body: Buffer.concat([...pieces, formEnd]), contentType: formType };
}

export function partHead(part: Omit<Part, "content">): Buffer {
  const filename =
    part.filename === undefined ? "" : `; filename="${part.filename}"\r\nContent-Type: application/octet-stream`;
  return Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="${part.name}"${filename}\r\n\r\n`);
}

export const formEnd: Buffer = Buffer.from(`--${BOUNDARY}--\r\n`);
