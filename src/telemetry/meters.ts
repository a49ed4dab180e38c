/**
 * Meters: what Prometheus scrapes. The seven `term_executor_*` series that deployments rely on are read from the store at
 * each scrape, so they stay right across restarts and on every node; ours stand beside them under `proctor_`.
 */
import { type CollectFunction, Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Phase, Reason } from "../kernel/outcome.ts";

/** Counts over all batches that were ever opened; the store's `batchCounts` gives them. */
export interface StoreCounts {
  readonly active: number;
  readonly total: number;
  readonly completed: number;
  /** tasks that ended, whatever their verdict */
  readonly tasksTotal: number;
  readonly tasksPassed: number;
  readonly tasksFailed: number;
  /** sum of the durations of completed batches, ms */
  readonly durationMsSum: number;
}

/** Read at each scrape; one that throws leaves its series out of that scrape, except the store's, which keep their last value. */
export interface MeterSources {
  readonly storeCounts: () => Promise<StoreCounts>;
  /** tasks that wait for a worker */
  readonly queueDepth?: () => number | Promise<number>;
  readonly sandboxesInUse?: () => number | Promise<number>;
  /** validators in the set now; undefined before the first reading */
  readonly validators?: () => number | undefined;
}

export interface Meters {
  /** exactly the content type of text format 0.0.4 */
  readonly contentType: string;
  /** The whole scrape. Scrapes at the same time share one reading of the store. */
  scrape(): Promise<string>;
  phaseEnded(phase: Phase, durationMs: number, cached: boolean): void;
  taskFailed(reason: Reason): void;
  voteCounted(state: "pending" | "started" | "repeated"): void;
  /** @param route its pattern, never the path: labels must stay few */
  requestEnded(method: string, route: string, status: number, durationMs: number): void;
  followersChanged(transport: "sse" | "ws", count: number): void;
  /** a follower that did not read and was dropped */
  followerDropped(transport: "sse" | "ws"): void;
}

const PHASE_BUCKETS_SECS = [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];
const HTTP_BUCKETS_SECS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];

/** Makes the meters of one process, in a registry of their own. */
export function createMeters(sources: MeterSources): Meters {
  const registry = new Registry();
  const registers = [registry];
  const refreshStore = storeSeries(registry, sources.storeCounts);
  collectDefaultMetrics({ register: registry, prefix: "proctor_" });

  if (sources.queueDepth !== undefined) {
    gaugeOf("proctor_queue_depth", "Tasks that wait for a worker", registry, sources.queueDepth);
  }
  if (sources.sandboxesInUse !== undefined) {
    gaugeOf("proctor_sandboxes_in_use", "Sandboxes that exist now", registry, sources.sandboxesInUse);
  }
  if (sources.validators !== undefined) {
    gaugeOf("proctor_validators", "Validators that may submit now", registry, sources.validators);
  }
  const phaseSecs = new Histogram({
    name: "proctor_phase_duration_seconds",
    help: "Time of each phase of a task",
    labelNames: ["phase", "cached"],
    buckets: PHASE_BUCKETS_SECS,
    registers,
  });
  const failures = new Counter({
    name: "proctor_task_failures_total",
    help: "Tasks that ended without passing, by reason",
    labelNames: ["reason"],
    registers,
  });
  const votes = new Counter({
    name: "proctor_votes_total",
    help: "Votes that were taken, by what they led to",
    labelNames: ["state"],
    registers,
  });
  const httpSecs = new Histogram({
    name: "proctor_http_request_duration_seconds",
    help: "Time to answer, by route pattern and status",
    labelNames: ["method", "route", "status"],
    buckets: HTTP_BUCKETS_SECS,
    registers,
  });
  const followers = new Gauge({
    name: "proctor_followers",
    help: "Clients that follow a batch live",
    labelNames: ["transport"],
    registers,
  });
  const dropped = new Counter({
    name: "proctor_followers_dropped_total",
    help: "Followers that were closed because they did not read",
    labelNames: ["transport"],
    registers,
  });

  let scraping: Promise<string> | undefined;
  return {
    contentType: Registry.PROMETHEUS_CONTENT_TYPE,
    scrape() {
      scraping ??= refreshStore()
        .then(() => registry.metrics())
        .finally(() => {
          scraping = undefined;
        });
      return scraping;
    },
    phaseEnded: (phase, durationMs, cached) => phaseSecs.observe({ phase, cached: String(cached) }, durationMs / 1000),
    taskFailed: (reason) => failures.inc({ reason }),
    voteCounted: (state) => votes.inc({ state }),
    requestEnded: (method, route, status, durationMs) =>
      httpSecs.observe({ method: knownMethod(method), route, status: String(status) }, durationMs / 1000),
    followersChanged: (transport, count) => followers.set({ transport }, count),
    followerDropped: (transport) => dropped.inc({ transport }),
  };
}

/** The contract's seven. @returns reads the store and sets them; never throws */
function storeSeries(registry: Registry, read: () => Promise<StoreCounts>): () => Promise<void> {
  const registers = [registry];
  let last: StoreCounts | undefined;
  // Set in collect, so that before the first good reading the series are absent instead of a wrong zero.
  const series = (kind: "counter" | "gauge", name: string, help: string, pick: (counts: StoreCounts) => number) => {
    if (kind === "gauge") {
      const collect: CollectFunction<Gauge> = function () {
        this.remove();
        if (last !== undefined) this.set(pick(last));
      };
      return new Gauge({ name, help, registers, collect });
    }
    const collect: CollectFunction<Counter> = function () {
      this.remove();
      if (last !== undefined) this.inc(pick(last));
    };
    return new Counter({ name, help, registers, collect });
  };
  series("counter", "term_executor_batches_total", "Batches that were opened", (c) => c.total);
  series("gauge", "term_executor_batches_active", "Batches that run now", (c) => c.active);
  series("counter", "term_executor_batches_completed", "Batches that ended completed", (c) => c.completed);
  series("counter", "term_executor_tasks_total", "Tasks that ended", (c) => c.tasksTotal);
  series("counter", "term_executor_tasks_passed", "Tasks that passed", (c) => c.tasksPassed);
  series("counter", "term_executor_tasks_failed", "Tasks that ended without passing", (c) => c.tasksFailed);
  series("counter", "term_executor_duration_ms_sum", "Durations of completed batches, ms", (c) => c.durationMsSum);
  const reachable = new Gauge({ name: "proctor_store_reachable", help: "1 while the store answers", registers });
  return async () => {
    try {
      last = await read();
      reachable.set(1);
    } catch {
      reachable.set(0);
    }
  };
}

/** A gauge that asks at each scrape; absent while the answer is undefined or the source fails. */
function gaugeOf(
  name: string,
  help: string,
  registry: Registry,
  read: () => number | undefined | Promise<number | undefined>,
): void {
  const collect: CollectFunction<Gauge> = async function () {
    this.remove();
    const value = await Promise.resolve()
      .then(read)
      .catch(() => undefined);
    if (value !== undefined) this.set(value);
  };
  new Gauge({ name, help, registers: [registry], collect });
}

/** Methods are what callers send: only the known ones become labels. */
function knownMethod(method: string): string {
  return ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"].includes(method) ? method : "other";
}
