/** What only an administrator may do. */
import { resetPinnedVersion } from "../../admission/nonces.ts";
import { parseHotkey } from "../../admission/ss58.ts";
import { AppError } from "../../kernel/errors.ts";
import { type Api, type ApiApp, addRoute, admitAdmin } from "../context.ts";

export function addAdminRoutes(app: ApiApp, api: Api): void {
  // A key that has submitted with version 2 may not go back; a validator who lost the newer client needs a way.
  addRoute(app, "/admin/validators/:hotkey/reset-signature-version", {
    POST: async (c) => {
      admitAdmin(api, c);
      const key = parseHotkey(c.req.param("hotkey") ?? "");
      if (key === undefined) throw new AppError("invalid_request", "The hotkey in the path is not SS58 with prefix 42");
      const wasPinned = await resetPinnedVersion(api.deps.store.db, key.publicKey);
      c.set("logFields", { ...c.get("logFields"), hotkey: key.hotkey, was_pinned: wasPinned });
      return c.json({ hotkey: key.hotkey, was_pinned: wasPinned });
    },
  });
}
