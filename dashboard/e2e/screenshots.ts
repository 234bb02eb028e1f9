/** Takes the screenshots for the documents, from the running product. */

import type { Page } from "@playwright/test";
import { fillCancelDialog, LIST, pathOf, rowOf, tenantOn } from "./page-objects";
import { command, create, fetchTenant, start, type Tenant } from "./product";
import { expect, test } from "./users";
import { WebSocketProxy } from "./websocket-proxy";

const IMAGES = new URL("../../docs/images/", import.meta.url).pathname;
/** The user on the screenshots. */
const BY = { as: "owner" } as const;

test("screenshots of a cancel, its dialog, its result, and the list", async ({ users }) => {
  test.setTimeout(180_000);
  const [books, toys, garden] = await Promise.all([
    create("books", BY),
    create("toys", BY),
    create("garden", { start: false, ...BY }),
  ]);
  await Promise.all([books, toys].map(becomesActive));
  await command("suspendTenant", "SuspendTenantInput", { tenantId: toys.id, reason: "the invoice is open" });
  const music = await create("music", { start: false, ...BY });
  const page = await users.signedIn("owner");
  const proxy = await WebSocketProxy.install(page);
  await page.goto(pathOf(music));
  const { state, step, dialog, nothingHeld } = tenantOn(page);
  await expect(state).toHaveText("PENDING");

  await start(music, BY.as);
  await expect(step("allocate_traffic")).toHaveClass(/\bdone\b/);
  const confirm = await fillCancelDialog(page, "The customer changed the plan.");
  await expect(dialog.getByRole("listitem").first()).toBeVisible();
  await take(page, "dashboard-cancel");

  // An undo takes a moment only, so the page gets the messages up to its middle until the screenshot is taken.
  proxy.pauseAfter(/"status": ?"COMPENSATED"/);
  await confirm.click();
  await expect(page.locator("[data-undo].compensated").first()).toBeVisible();
  await expect(page.getByText("Cancelling…").first()).toBeVisible();
  await take(page, "dashboard-cancelling");
  proxy.resume();
  await expect(state).toHaveText("PENDING");
  await expect(nothingHeld).toBeVisible();
  await take(page, "dashboard-undone");
  await page.emulateMedia({ colorScheme: "dark" });
  await take(page, "dashboard-undone-dark");
  await page.emulateMedia({ colorScheme: "light" });

  await start(music, BY.as);
  await page.goto(LIST);
  for (const tenant of [books, toys, garden]) await expect(rowOf(page, tenant)).toBeVisible();
  await expect(rowOf(page, music)).toContainText("PROVISIONING");
  await take(page, "dashboard-tenants");
});

async function take(page: Page, name: string): Promise<void> {
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: `${IMAGES}${name}.png`, animations: "disabled", caret: "hide" });
}

async function becomesActive(tenant: Tenant): Promise<void> {
  await expect.poll(async () => (await fetchTenant(tenant)).state).toBe("ACTIVE");
}
