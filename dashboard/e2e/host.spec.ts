/** The dashboard over plain http on a host name that is not localhost: not a secure context (playwright.config.ts maps the name). */

import type { Page } from "@playwright/test";
import { fillCancelDialog, LIST, pathOf, tenantOn } from "./page-objects";
import { create, fetchTenant, PRODUCT, slugFor, start, whileWorkersPause } from "./product";
import { originalOf, translateLive } from "./translator";
import { expect, test, type Users } from "./users";

const HOST = "tenantry.test";
const ADDRESS = PRODUCT.replace("127.0.0.1", HOST);

async function open(users: Users, path: string): Promise<Page> {
  users.allowOrigin(ADDRESS);
  // Chromium says so of every page that is not a secure context.
  users.allowConsoleMessage(/Cross-Origin-Opener-Policy header has been ignored/);
  const page = await users.signedIn("owner", ADDRESS + path);
  expect(await page.evaluate(() => [location.hostname, isSecureContext])).toEqual([HOST, false]);
  return page;
}

test("a provisioning is cancelled on a host name that is not localhost", async ({ users }) => {
  const tenant = await create(slugFor("host"), { start: false });
  const page = await open(users, pathOf(tenant));
  const { state, nothingHeld } = tenantOn(page);
  await expect(state).toHaveText("PENDING");
  await start(tenant);
  await expect(tenantOn(page).step("allocate_storage")).toHaveClass(/\bdone\b/);

  await whileWorkersPause(async () => {
    const confirm = await fillCancelDialog(page, "over plain http");
    await confirm.click();
    await expect(tenantOn(page).notice).toContainText("Cancelling…");
  });

  await expect(state).toHaveText("PENDING");
  await expect(nothingHeld).toBeVisible();
  expect((await fetchTenant(tenant)).cancelRequest?.reason).toBe("over plain http");
});

test("the token of a service account is copied on a host name that is not localhost", async ({ users }) => {
  const page = await open(users, "/dashboard/people");
  await page.getByRole("button", { name: "Create a service account" }).click();
  const form = page.getByRole("dialog", { name: "Create a service account" });
  await form.getByLabel("Name").fill(slugFor("Copied"));
  await form.locator("label", { hasText: "tenants:read" }).click();
  await form.getByRole("button", { name: "Create", exact: true }).click();
  const dialog = page.getByRole("alertdialog", { name: "New token" });
  const token = await dialog.getByLabel("API token").inputValue();

  await dialog.getByRole("button", { name: "Copy" }).click();

  await expect(dialog).toContainText("Copied.");
  await dialog.getByRole("button", { name: "Close" }).click();
  // A page of an insecure context may not read the clipboard: the token is pasted by keyboard, as a person would.
  await page.goto(ADDRESS + LIST);
  await page.getByLabel("Slug begins with").focus();
  await page.keyboard.press("ControlOrMeta+V");
  await expect(page.getByLabel("Slug begins with")).toHaveValue(token);
});

test("a page that is translated while a tenant is provisioned and cancelled says the same as an untranslated page", async ({
  users,
}) => {
  const tenant = await create(slugFor("translated"), { start: false });
  const [translated, plain] = [await open(users, pathOf(tenant)), await open(users, pathOf(tenant))];
  for (const page of [translated, plain]) await expect(tenantOn(page).state).toHaveText("PENDING");
  await translateLive(translated);
  await expect(tenantOn(translated).state).toHaveText("«PENDING»");

  await start(tenant);
  await expect(tenantOn(translated).step("allocate_traffic")).toHaveClass(/\bdone\b/);
  await whileWorkersPause(async () => {
    await translated.locator(".actions button", { hasText: "Cancel provisioning" }).click();
    await translated.getByRole("alertdialog").getByRole("textbox").fill("in another language");
    await translated.getByRole("alertdialog").locator("button[type=submit]").click();
    await expect(tenantOn(translated).notice).toContainText("«Cancelling…»");
    await expectSameContent(translated, plain);
  });

  for (const page of [translated, plain]) {
    await expect(tenantOn(page).state).toContainText("PENDING");
    await expect(tenantOn(page).nothingHeld).toBeVisible();
    await expect(page.locator('[data-kind="RUN_FINISHED"]')).toHaveCount(1);
  }
  await expectSameContent(translated, plain);
  await translated.getByRole("link", { name: "Tenants" }).first().click();
  await expect(translated.getByRole("heading", { name: "Tenants" })).toBeVisible();
});

/** The pages receive each event by themselves, so one may be ahead for a moment. */
async function expectSameContent(one: Page, other: Page): Promise<void> {
  await expect(async () => expect(await contentOf(one)).toEqual(await contentOf(other))).toPass({ timeout: 30_000 });
}

/** What the page of a tenant says, without the times that count up. */
async function contentOf(page: Page): Promise<Record<string, string[]>> {
  const { state, steps, undo, notice, actions, entries, nothingHeld } = tenantOn(page);
  const parts = { state, steps: steps.locator(".title"), undo, notice, actions, entries, nothingHeld };
  const found = Object.entries(parts).map(async ([name, part]) => [name, await part.allInnerTexts()] as const);
  const texts = await Promise.all(found);
  return Object.fromEntries(
    texts.map(([name, all]) => [name, all.map((text) => originalOf(text).replaceAll(/\s+/g, " "))]),
  );
}
