/** Meters: the seven names of the contract come from the store at each scrape; ours stand beside them. */
import { describe, expect, it } from "vitest";
import { createMeters, type StoreCounts } from "../../src/telemetry/meters.ts";

const counts: StoreCounts = {
  active: 1,
  total: 3,
  completed: 2,
  tasksTotal: 6,
  tasksPassed: 4,
  tasksFailed: 2,
  durationMsSum: 900,
};

describe("meters", () => {
  it("the seven follow the store, also downwards for the gauge", async () => {
    let now = counts;
    const meters = createMeters({ storeCounts: async () => now });
    expect(await meters.scrape()).toContain("term_executor_tasks_passed 4\n");
    now = { ...counts, active: 0, tasksPassed: 5 };
    const text = await meters.scrape();
    expect(text).toContain("term_executor_tasks_passed 5\n");
    expect(text).toContain("term_executor_batches_active 0\n");
  });

  it("before the first good reading they are absent, never a wrong zero; afterwards the last one stands", async () => {
    let fails = true;
    const meters = createMeters({
      storeCounts: async () => {
        if (fails) throw new Error("gone");
        return counts;
      },
    });
    const first = await meters.scrape();
    expect(first).not.toMatch(/^term_executor_batches_total /m);
    expect(first).toContain("proctor_store_reachable 0");
    fails = false;
    await meters.scrape();
    fails = true;
    const third = await meters.scrape();
    expect(third).toContain("term_executor_batches_total 3");
    expect(third).toContain("proctor_store_reachable 0");
  });

  it("scrapes at the same time share one reading", async () => {
    let readings = 0;
    const meters = createMeters({
      storeCounts: async () => {
        readings += 1;
        return counts;
      },
    });
    await Promise.all(Array.from({ length: 20 }, () => meters.scrape()));
    expect(readings).toBe(1);
  });

  it("ours: phases, reasons, votes, queue, sandboxes, validators, requests", async () => {
    const meters = createMeters({
      storeCounts: async () => counts,
      queueDepth: async () => 7,
      sandboxesInUse: () => 3,
      validators: () => undefined,
    });
    meters.phaseEnded("agent", 1_500, false);
    meters.taskFailed("oom");
    meters.voteCounted("pending");
    meters.requestEnded("BREW", "/submit", 405, 3);
    const text = await meters.scrape();
    for (const line of [
      'proctor_phase_duration_seconds_sum{phase="agent",cached="false"} 1.5',
      'proctor_task_failures_total{reason="oom"} 1',
      'proctor_votes_total{state="pending"} 1',
      "proctor_queue_depth 7",
      "proctor_sandboxes_in_use 3",
      'proctor_http_request_duration_seconds_count{method="other",route="/submit",status="405"} 1',
    ]) {
      expect(text).toContain(line);
    }
    expect(text, "not read yet: absent").not.toMatch(/^proctor_validators /m);
    expect(text).toContain("proctor_nodejs_eventloop_lag_seconds");
    expect(meters.contentType).toBe("text/plain; version=0.0.4; charset=utf-8");
  });
});
