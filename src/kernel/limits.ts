/**
 * Hard bounds of every input that is not configurable. Units stand last in the names; each says what it protects.
 * Configurable limits are in config.ts.
 */
export const limits = {
  // signatures and headers
  hotkeyCharsMax: 64,
  nonceBytesMax: 256,
  headerBytesMax: 16 * 1024,
  // the multipart body around the archive
  uploadPartsMax: 100,
  uploadFieldBytesMax: 64 * 1024,
  uploadFramingBytesMax: 1024 ** 2,
  uploadWindowBytesMin: 1_024,
  // archive, compressed and unpacked
  archiveEntriesMax: 20_000,
  archiveDepthMax: 32,
  archivePathBytesMax: 1_024,
  archiveUnpackedBytesMax: 2 * 1024 ** 3,
  archiveRatioMax: 200,
  // below this the ratio is not looked at: small text compresses well
  archiveRatioFloorBytes: 1024 ** 2,
  archiveNameBytesMax: 255,
  archiveReadMsMax: 120_000,
  archiveReadsAtOnceMax: 2,
  tasksMax: 1_000,
  // task files held in memory while one archive is read
  tasksBytesMax: 128 * 1024 ** 2,
  agentBytesMax: 512 * 1024 ** 2,
  // one task
  taskIdCharsMax: 200,
  yamlBytesMax: 4 * 1024 ** 2,
  yamlTokensMax: 10_000,
  yamlDepthMax: 32,
  promptBytesMax: 1024 ** 2,
  checksBytesMax: 256 * 1024,
  testFilesMax: 2_000,
  testFileBytesMax: 16 * 1024 ** 2,
  taskBytesMax: 64 * 1024 ** 2,
  commandsMax: 200,
  commandBytesMax: 64 * 1024,
  // what crosses back from a sandbox
  changedFilesMax: 5_000,
  changedBytesMax: 128 * 1024 ** 2,
  // progress
  logEventBytesMax: 16 * 1024,
  eventPageCount: 500,
  batchPageMax: 500,
} as const;
