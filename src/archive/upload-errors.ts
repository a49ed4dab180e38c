/** Rows 7–9 of the contract's table for POST /submit. */
import { AppError } from "../kernel/errors.ts";

/** Row 7. @param reason what broke, for people */
export function uploadFailed(reason: string, cause?: unknown): AppError {
  return new AppError("upload_failed", "Failed to read uploaded archive", {
    details: { reason },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Row 8. */
export function tooLarge(archiveBytesMax: number): AppError {
  return new AppError("archive_too_large", `Archive exceeds maximum size of ${archiveBytesMax} bytes`);
}

/** Row 9. */
export function missingArchive(): AppError {
  return new AppError("missing_archive", "No archive file uploaded. Send a multipart form with field 'archive'.");
}
