import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { create, fetchTenant, PRODUCT, TOKEN, until } from "./product.js";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const skip =
  existsSync(CHROMIUM) || process.env.CI
    ? false
    : `${CHROMIUM} not found: install chromium, or set CHROMIUM to the path of yours`;

describe("GraphiQL in a browser", { skip, timeout: 120_000 }, () => {
  let browser;
  let page;
  const problems = [];
  const otherOrigins = [];

  before(async () => {
    // Chromium's sandbox does not work as root; the browser only opens our own page.
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
    page = await browser.newPage({
      viewport: { width: 1400, height: 900 },
      permissions: ["clipboard-read", "clipboard-write"],
    });
    page.setDefaultTimeout(60_000);
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(error.stack));
    page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (!["data:", "blob:"].includes(protocol) && origin !== PRODUCT) otherOrigins.push(request.url());
    });
    await page.goto(`${PRODUCT}/graphql`);
  });

  after(() => browser?.close());

  const response = () => page.locator(".graphiql-response").textContent();
  const run = () => page.getByRole("button", { name: /^Execute query/ }).click();

  async function writeVariables(text) {
    await page.locator(".graphiql-editor-tool .monaco-editor").first().click();
    await page.keyboard.press("Control+A");
    // Pasted, because the editor closes brackets while a text is typed.
    await page.evaluate((copied) => navigator.clipboard.writeText(copied), text);
    await page.keyboard.press("Control+V");
  }

  test("asks for a token, and stores it for this tab only", async () => {
    await page.getByLabel("Token").fill(`Bearer ${TOKEN}`);
    await page.getByLabel("Organisation").fill("acme");
    await page.getByRole("button", { name: "Use token" }).click();
    await page.locator(".graphiql-query-editor .monaco-editor").waitFor();

    const stored = JSON.stringify({ token: TOKEN, organization: "acme" });
    assert.deepEqual(await page.evaluate(() => Object.values(sessionStorage)), [stored]);
    assert.ok(!(await page.evaluate(() => JSON.stringify(localStorage))).includes(TOKEN));
  });

  test("has prepared operations, and runs one", async () => {
    const tabs = await page.getByRole("tab").allInnerTexts();
    assert.deepEqual(
      tabs.map((tab) => tab.trim()),
      ["ListTenants", "CreateTenant", "WatchProvisioning", "CancelProvisioning", "AuditFeed"],
    );

    await run();

    await until(async () => (await response()).includes("totalCount"));
  });

  test("watches a provisioning over the websocket", async () => {
    const tenantId = await create("graphiql-watched", true);
    await page.getByRole("tab", { name: "WatchProvisioning" }).click();
    await writeVariables(JSON.stringify({ tenantId }));

    await run();

    await until(async () => (await response()).includes("RUN_FINISHED"));
    assert.equal((await fetchTenant("graphiql-watched")).state, "ACTIVE");
  });

  test("shows the schema, the explorer and the history", async () => {
    for (const name of ["Documentation Explorer", "History", "GraphiQL Explorer"]) {
      await page.getByRole("button", { name: new RegExp(`Show ${name}`) }).click();
      await page.getByRole("button", { name: new RegExp(`Hide ${name}`) }).waitFor();
    }
    await page.locator(".graphiql-plugin").getByText("auditEventAdded").waitFor();
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
  });

  test("sends no request to another origin, and logs no error or warning", () => {
    assert.deepEqual(otherOrigins, []);
    assert.deepEqual(problems, []);
  });
});
