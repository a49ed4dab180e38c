import { afterAll, describe, it } from "vitest";
import { openStore } from "../../src/store/open.ts";
import { startPostgres, type TestServer, whyNoPostgres } from "../store/postgres.ts";
import { describeBallots } from "./support/ballot-suite.ts";

const missing = whyNoPostgres();
if (missing === undefined) {
  let server: TestServer | undefined;
  afterAll(() => server?.stop());
  describeBallots("a PostgreSQL server", async () => {
    server = await startPostgres();
    return openStore({ databaseUrl: await server.createDatabase() });
  });
} else {
  describe.skip(`ballots on a PostgreSQL server: ${missing}`, () => {
    it("runs where there is one", () => undefined);
  });
}
