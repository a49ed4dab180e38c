import { openStore } from "../../src/store/open.ts";

const s = await openStore({ dataDir: process.argv[2] });
console.log("opened", await s.db.selectFrom("batches").selectAll().execute());
await s.close();
