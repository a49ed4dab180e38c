import { openStore } from "../../src/store/open.ts";
import { journalSuite } from "./suite.ts";

journalSuite("journal on the embedded store", () => openStore());
