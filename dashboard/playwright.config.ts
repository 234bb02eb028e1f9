/** End-to-end tests in a browser; `python -m tests.dashboard` starts the product and passes its address. */

import { defineConfig } from "@playwright/test";

const { CHROMIUM, CI, PRODUCT } = process.env;
// Chromium's sandbox does not work as root; the browser only opens our own pages.
const launchOptions = { executablePath: CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] };
/** A browser that reaches the product by a host name too, as people do on a network: such a page is no secure context. */
const BY_NAME = {
  ...launchOptions,
  args: [...launchOptions.args, "--host-resolver-rules=MAP tenantry.test 127.0.0.1"],
};

export default defineConfig({
  testDir: "e2e",
  outputDir: "e2e-results",
  forbidOnly: Boolean(CI),
  retries: 0,
  workers: 2,
  reporter: "list",
  timeout: 120_000,
  // A provisioning takes about 8 s in the product of these tests, and the machine may be busy.
  expect: { timeout: 30_000 },
  use: {
    baseURL: PRODUCT ?? "http://127.0.0.1:8000",
    launchOptions,
    locale: "en-GB",
    timezoneId: "UTC",
    viewport: { width: 1280, height: 800 },
    // A trace slows the browser down while runs go on; `--trace on` records one.
    screenshot: "only-on-failure",
  },
  projects: [
    { name: "story", testMatch: /e2e\/story\.spec\.ts$/ },
    { name: "product", testMatch: /e2e\/(?!story|host)[^/]+\.spec\.ts$/ },
    { name: "host", testMatch: /e2e\/host\.spec\.ts$/, use: { launchOptions: BY_NAME } },
    { name: "provider", testMatch: /e2e\/provider\/[^/]+\.spec\.ts$/ },
    { name: "screenshots", testMatch: /e2e\/screenshots\.ts$/ },
  ],
});
