/** Whole stories in a browser, on the running product; `python -m tests.dashboard` brings it up and says where. */

import { defineConfig } from "@playwright/test";

const { CHROMIUM, CI, PRODUCT } = process.env;

export default defineConfig({
  testDir: "e2e",
  outputDir: "e2e-results",
  forbidOnly: Boolean(CI),
  retries: 0,
  workers: 2,
  reporter: "list",
  timeout: 120_000,
  // A run of the tests' product takes some seconds, and nobody knows on how busy a machine.
  expect: { timeout: 30_000 },
  use: {
    baseURL: PRODUCT ?? "http://127.0.0.1:8000",
    // Chromium refuses to put root into its sandbox; it only ever opens our own pages.
    launchOptions: { executablePath: CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] },
    locale: "en-GB",
    timezoneId: "UTC",
    viewport: { width: 1280, height: 800 },
    // A trace takes time that a run does not wait for; `--trace on` makes one.
    screenshot: "only-on-failure",
  },
  projects: [
    { name: "story", testMatch: /e2e\/story\.spec\.ts$/ },
    { name: "product", testMatch: /e2e\/(?!story)[^/]+\.spec\.ts$/ },
    { name: "provider", testMatch: /e2e\/provider\/[^/]+\.spec\.ts$/ },
    { name: "screenshots", testMatch: /e2e\/screenshots\.ts$/ },
  ],
});
