/** The documents' pictures, taken of the running product while it lives through the story that they tell. */

import type { Page } from "@playwright/test";
import { expect, test } from "./people";
import { command, create, start, type Tenant, truth } from "./product";
import { addressOf, askToCancel, LIST, rowOf, tenantOn } from "./screen";

const IMAGES = new URL("../../docs/images/", import.meta.url).pathname;
/** The person on the pictures. */
const BY = { as: "owner" } as const;

test("a cancel in flight, its dialog, what is left of it, and the list", async ({ people }) => {
  test.setTimeout(180_000);
  const [books, toys, garden] = await Promise.all([
    create("books", BY),
    create("toys", BY),
    create("garden", { start: false, ...BY }),
  ]);
  await Promise.all([books, toys].map(live));
  await command("suspendTenant", "SuspendTenantInput", { tenantId: toys.id, reason: "the invoice is open" });
  const music = await create("music", { start: false, ...BY });
  const page = await people.arrive("owner");
  const stream = await stoppableUnder(page);
  await page.goto(addressOf(music));
  const { state, step, dialog, nothingHeld } = tenantOn(page);
  await expect(state).toHaveText("PENDING");

  await start(music, BY.as);
  await expect(step("allocate_traffic")).toHaveClass(/\bdone\b/);
  const confirm = await askToCancel(page, "The customer changed the plan.");
  await expect(dialog.getByRole("listitem").first()).toBeVisible();
  await take(page, "dashboard-cancel");

  // An undo is over in a moment, so that the picture is of what the page was told up to its middle.
  stream.stopAt(/"status": ?"COMPENSATED"/);
  await confirm.click();
  await expect(page.locator("[data-undo].compensated").first()).toBeVisible();
  await expect(page.getByText("Cancelling…").first()).toBeVisible();
  await take(page, "dashboard-cancelling");
  stream.goOn();
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

async function live(tenant: Tenant): Promise<void> {
  await expect.poll(async () => (await truth(tenant)).state).toBe("ACTIVE");
}

/** A stream that can be held after a message: what comes later waits, and nothing is lost. */
async function stoppableUnder(page: Page): Promise<{ stopAt: (message: RegExp) => void; goOn: () => void }> {
  let last: RegExp | undefined;
  let stopped = false;
  const waiting: (() => void)[] = [];
  await page.routeWebSocket(/\/graphql$/, (near) => {
    const far = near.connectToServer();
    far.onMessage((message) => {
      if (stopped) {
        waiting.push(() => near.send(message));
        return;
      }
      near.send(message);
      stopped = last?.test(String(message)) ?? false;
    });
  });
  return {
    stopAt: (message) => {
      last = message;
    },
    goOn: () => {
      last = undefined;
      stopped = false;
      for (const pass of waiting.splice(0)) pass();
    },
  };
}
