/** Bounds of the HTTP door that are not configurable; each says what it protects. Units stand last in the names. */
export const bounds = {
  /** a connection whose request head is not complete by then is answered 408 and closed (slow headers, idle sockets) */
  headersTimeoutMs: 15_000,
  /** beside UPLOAD_TIMEOUT_SECS: the whole request, head and body */
  requestSlackMs: 30_000,
  /** nothing read or written for so long: gone (a reader that took half an answer) */
  socketIdleMs: 300_000,
  keepAliveMs: 15_000,
  /** how often Node looks for connections that are out of time */
  connectionCheckMs: 2_000,
  connectionsMax: 8_192,
  headerCountMax: 100,
  /** an upload that was refused: how long, and how much, is still read so that the answer is not lost to a reset */
  lingerMs: 2_000,
  lingerBytesMax: 8 * 1024 ** 2,
  readinessMs: 2_000,
  /** answers of readiness are shared for so long, so that probes can't be used to load what they probe */
  readinessCacheMs: 1_000,
  /** answers with outputs that are written at once, in all and for one address; others wait their turn, so long and so many */
  outputReadersMax: 64,
  outputReadersPerAddressMax: 16,
  outputWaitMs: 30_000,
  outputWaitersMax: 1_024,
  followersMax: 2_048,
  followersPerAddressMax: 512,
  /** a follower that takes nothing for so long is dropped; it can resume */
  stallMs: 15_000,
  heartbeatMs: 15_000,
  /** followers have nothing to say: what one may send in a message, and how many frames in a minute */
  socketMessageBytesMax: 1_024,
  socketFramesPerMinuteMax: 120,
  /** pieces in which long texts are read, escaped and written */
  textPieceBytes: 64 * 1024,
  /** what a client may send as id, cursor or token */
  queryCharsMax: 1_024,
  forwardedHopsMax: 16,
} as const;

export type Bounds = { readonly [K in keyof typeof bounds]: number };
