/** What the server says of itself: `/status`, `/metrics`, `/instance`. */
import { type Api, type ApiApp, addRoute, admitReader, uptimeMs } from "../context.ts";
import { instanceToWire, statusToWire } from "../wire/status.ts";

export function addAboutRoutes(app: ApiApp, api: Api): void {
  const { config, instance, meters } = api.deps;
  const running = () => ({ instance, uptimeMs: uptimeMs(api), maxConcurrentTasks: config.MAX_CONCURRENT_TASKS });
  addRoute(app, "/status", {
    GET: async (c) => {
      admitReader(api, c);
      return c.json(statusToWire(await api.deps.counts(), running()));
    },
  });
  addRoute(app, "/instance", {
    GET: (c) => {
      admitReader(api, c);
      return c.json(instanceToWire(running(), config.BITTENSOR_NETUID));
    },
  });
  addRoute(app, "/metrics", {
    GET: async (c) => {
      admitReader(api, c);
      return c.body(await meters.scrape(), 200, { "Content-Type": meters.contentType });
    },
  });
}
