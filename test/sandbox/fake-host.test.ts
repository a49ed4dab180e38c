import { contractScript, describeSandboxHost } from "./contract.ts";
import { FakeHost } from "./fake-host.ts";

const image = "fake/sandbox:latest";

describeSandboxHost("the fake", async () => ({
  host: new FakeHost({ script: contractScript, images: [image] }),
  instance: "fake",
  image,
  dispose: async () => {},
}));
