import { describe, it } from "vitest";
import { describeSandboxHost } from "../contract.ts";
import { makeSubject, whyNoEngine } from "../engine.ts";

const missing = await whyNoEngine();
if (missing === undefined) describeSandboxHost("Docker", makeSubject);
else describe("sandbox port on Docker", () => it.skip(missing, () => {}));
