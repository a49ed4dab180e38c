import { defineConfig } from "vitest/config";

const integration = ["test/**/*.docker.test.ts", "test/**/*.pg.test.ts", "test/**/*.chain.test.ts"];

/** unit: no Docker, seconds in all · integration: real engine, real PostgreSQL, real chain runtime · e2e: whole server. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...integration, "test/e2e/**"],
          testTimeout: 20_000,
        },
      },
      {
        test: { name: "integration", include: integration, testTimeout: 180_000, hookTimeout: 180_000, maxWorkers: 2 },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
