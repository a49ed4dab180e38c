import { openStore } from "../../src/store/open.ts";
import { describeBallots } from "./support/ballot-suite.ts";

describeBallots("the embedded store", () => openStore());
