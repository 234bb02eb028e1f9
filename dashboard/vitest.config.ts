import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import type { TestModule } from "vitest/node";

/** The names of the tests that failed, as the last lines: the default reporter ends with counts. */
function showFailures(module: TestModule) {
  if (module.errors().length) console.error(`failed: ${module.relativeModuleId}`);
  for (const test of module.children.allTests("failed")) {
    console.error(`failed: ${module.relativeModuleId} > ${test.fullName}`);
  }
}

// Tests of single components and modules; the end-to-end tests in a browser are in e2e/.
export default defineConfig({
  plugins: [react()],
  test: {
    environment: "jsdom",
    include: ["{app,shared}/**/*.test.{ts,tsx}"],
    setupFiles: ["app/testing.setup.ts"],
    restoreMocks: true,
    reporters: ["default", { onTestRunEnd: (modules) => modules.forEach(showFailures) }],
    // The slowest test took 6.9 s on a machine with two cores and a load of 24; the default of 5 s is too short.
    testTimeout: 30_000,
  },
});
