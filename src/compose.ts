/**
 * The composition root: the only file that sees every room. It opens them in the order in which they stand on each
 * other and closes them in reverse, whatever step of a start fails.
 */
import { hostname } from "node:os";
import { createBallots } from "./admission/ballots.ts";
import { createBittensorValidatorSet } from "./admission/bittensor/validator-set.ts";
import { createGate } from "./admission/gate.ts";
import type { ValidatorSet } from "./admission/port.ts";
import { openServerKey } from "./admission/server-key.ts";
import { createFixedValidatorSet } from "./admission/validators/fixed.ts";
import { createApi } from "./api/server.ts";
import { createIntake } from "./archive/intake.ts";
import { sweepSpool } from "./archive/spool.ts";
import { createReceiver } from "./archive/upload.ts";
import type { Config } from "./config.ts";
import { createEvaluator } from "./evaluation/evaluator.ts";
import { createJournal } from "./journal/journal.ts";
import { systemClock } from "./kernel/clock.ts";
import { AppError } from "./kernel/errors.ts";
import { createDockerHost } from "./sandbox/docker/host.ts";
import { agentKeeper, ballotKeeper, environmentKeeper, startKeepers } from "./scheduling/keepers/keeper.ts";
import { sandboxReaper } from "./scheduling/keepers/sandbox-reaper.ts";
import { sessionTtlKeeper } from "./scheduling/keepers/session-ttl.ts";
import { createScheduler, type Scheduler } from "./scheduling/scheduler.ts";
import { openBlobs } from "./store/blobs.ts";
import { openStore } from "./store/open.ts";
import { batchCounts } from "./store/tables/batches.ts";
import { instanceId } from "./store/tables/meta.ts";
import { createLogger, type Logger, secretsOf } from "./telemetry/logger.ts";
import { createMeters } from "./telemetry/meters.ts";
import { guardProcess } from "./telemetry/process-guard.ts";
import { schedulerHooks } from "./telemetry/scheduler-hooks.ts";
import { version } from "./version.ts";

/** For requests under way when the server closes, ms. */
const CLOSE_GRACE_MS = 5_000;
/** How long the door waits for the first validator set, ms; without one it opens and answers `whitelist_not_ready`. */
const FIRST_SET_WAIT_MS = 3_000;

export interface RunningServer {
  /** e.g. `http://0.0.0.0:8080` */
  readonly address: string;
  /** Drains and ends; a second call waits for the first. */
  close(): Promise<void>;
}

/** Starts a server on `config`. @throws AppError `invalid_config`, `data_dir_locked`, `store_unavailable` */
export async function startServer(config: Config): Promise<RunningServer> {
  const clock = systemClock;
  const logger = createLogger({ level: config.LOG_LEVEL, secrets: secretsOf(config) });
  await using opened = new AsyncDisposableStack();
  opened.defer(guardProcess(logger));

  // First, for what is wrong with the configuration is said before anything is made.
  const validators = opened.use(validatorSet(config, logger));
  const store = opened.use(await openStore({ databaseUrl: config.DATABASE_URL, dataDir: config.DATA_DIR, logger }));
  const blobs = await openBlobs(config.DATA_DIR);
  const serverKey = await openServerKey(config.DATA_DIR);
  const instance = await instanceId(store.db);
  await sweepSpool(config.WORKSPACE_BASE);
  const journal = createJournal({ store, clock, logger });
  opened.defer(() => journal.close());

  const host = createDockerHost({
    dockerHost: config.DOCKER_HOST,
    instance,
    image: config.SANDBOX_IMAGE,
    runtime: config.SANDBOX_RUNTIME,
    clock,
    log: (level, message, fields) => logger[level](fields, message),
  });
  const evaluator = createEvaluator({ host, store, blobs, config, clock, instance, logger });

  // The scheduler's hooks need the meters, whose gauges need the scheduler.
  let scheduler: Scheduler | undefined;
  const meters = createMeters({
    storeCounts: () => batchCounts(store.db),
    queueDepth: () => scheduler?.stats().queued ?? 0,
    sandboxesInUse: async () => (await host.list(instance)).filter((found) => found.running).length,
    validators: () => validators.current()?.keys.size,
  });
  scheduler = createScheduler({
    store,
    journal,
    blobs,
    evaluator,
    config,
    clock,
    logger,
    hooks: schedulerHooks(meters),
  });
  const { isRunning, expireBatch } = scheduler;

  const gate = createGate({
    store,
    validators,
    audience: serverKey.audience,
    minVersion: config.SIGNATURE_MIN_VERSION,
    clock,
  });
  const ballots = createBallots({
    store,
    journal,
    opener: scheduler,
    validators,
    clock,
    threshold: config.CONSENSUS_THRESHOLD,
    minVotes: config.CONSENSUS_MIN_VOTES,
    ttlMs: config.CONSENSUS_TTL_SECS * 1_000,
    capacity: config.MAX_PENDING_CONSENSUS,
    concurrentTasksMax: config.MAX_CONCURRENT_TASKS,
  });
  const intake = createIntake({
    receiver: createReceiver({
      folder: config.WORKSPACE_BASE,
      archiveBytesMax: config.MAX_ARCHIVE_BYTES,
      timeoutMs: config.UPLOAD_TIMEOUT_SECS * 1_000,
      idleMs: config.UPLOAD_IDLE_SECS * 1_000,
      uploadsMax: config.MAX_UPLOADS,
      clock,
    }),
    store,
    blobs,
    ballots,
    rules: { template: config.REPO_URL_TEMPLATE, hosts: config.REPO_HOSTS },
    folder: config.WORKSPACE_BASE,
    clock,
  });

  let imageDigest: string | null = null;
  const sandboxImage = async () => {
    imageDigest = (await host.findImage(config.SANDBOX_IMAGE))?.id ?? null;
    if (imageDigest === null) {
      throw new AppError("image_missing", `image ${config.SANDBOX_IMAGE} is not on this engine; run "npm run setup"`);
    }
  };
  const engine = async (signal?: AbortSignal) => {
    const { runtimes } = await host.ping(signal);
    if (config.SANDBOX_RUNTIME === "" || runtimes.includes(config.SANDBOX_RUNTIME)) return;
    const known = runtimes.join(", ");
    throw new AppError(
      "sandbox_unavailable",
      `SANDBOX_RUNTIME=${config.SANDBOX_RUNTIME} is not a runtime of this engine; it has ${known}`,
    );
  };
  const api = createApi({
    config,
    clock,
    gate,
    submit: ({ caller, body, headers, concurrentTasks, signal }) =>
      intake.receiveSubmission({ caller, body, headers, concurrentTasks, signal }),
    validators,
    store,
    journal,
    blobs,
    instance: {
      audience: serverKey.audience,
      version,
      image: config.SANDBOX_IMAGE,
      imageDigest: () => imageDigest,
      hostname: hostname(),
    },
    counts: () => batchCounts(store.db),
    readiness: {
      engine,
      sandbox_image: sandboxImage,
      scheduler: async () => {
        if (scheduler.stats().draining) throw new AppError("shutting_down", "this server is draining");
      },
    },
    logger,
    meters,
  });

  await validators
    .refresh(AbortSignal.timeout(FIRST_SET_WAIT_MS))
    .catch((error: unknown) => logger.warn({ err: String(error) }, "validator set not read yet"));
  validators.start();
  await engine()
    .then(sandboxImage)
    .catch((error: unknown) => logger.warn({ err: String(error) }, "engine not ready yet"));
  await scheduler.start();
  opened.defer(() => scheduler.drain());
  const keepers = startKeepers(
    [
      ballotKeeper(() => ballots.expireDue()),
      sessionTtlKeeper({ db: store.db, ttlMs: config.SESSION_TTL_SECS * 1_000, expireBatch, clock }),
      sandboxReaper({ host, instance, isRunning }),
      environmentKeeper(() => evaluator.evictEnvironments(config.ENVIRONMENTS_MAX)),
      agentKeeper(() => evaluator.evictAgents(config.AGENTS_MAX)),
    ],
    { clock, logger },
  );
  opened.defer(() => keepers.stop());
  const listening = await api.listen(config.HOST, config.PORT);
  logger.info({ address: listening.address, audience: serverKey.audience, store: store.kind, instance }, "listening");

  const open = opened.move();
  let closed: Promise<void> | undefined;
  const close = async () => {
    logger.info({ running: scheduler.stats().running }, "draining");
    // Followers stay until the running tasks have ended: they want to see them end.
    await scheduler.drain();
    await listening.close(CLOSE_GRACE_MS);
    await open.disposeAsync();
    logger.info({}, "closed");
  };
  return {
    address: listening.address,
    close() {
      closed ??= close();
      return closed;
    },
  };
}

function validatorSet(config: Config, logger: Logger): ValidatorSet {
  if (config.VALIDATOR_HOTKEYS.length > 0) return createFixedValidatorSet(config.VALIDATOR_HOTKEYS, systemClock);
  return createBittensorValidatorSet({
    urls: config.SUBTENSOR_URLS,
    netuid: config.BITTENSOR_NETUID,
    minStakeTao: config.MIN_VALIDATOR_STAKE_TAO,
    refreshMs: config.VALIDATOR_REFRESH_SECS * 1_000,
    clock: systemClock,
    report: ({ level, message, ...fields }) => logger[level](fields, message),
  });
}
