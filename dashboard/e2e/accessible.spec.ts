import { AxeBuilder } from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { expect, test } from "./people";
import { command, create, slugFor, start, truth } from "./product";
import { addressOf, askToCancel, LIST, rowOf, tabTo, tenantOn } from "./screen";

const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const WIDTHS = [360, 1920];

/** More than this share of what is seen, times how far it moved, is what people call jumping (web.dev/cls). */
const JUMPING = 0.1;

test.describe("axe finds nothing, in the light and in the dark,", () => {
  test("on the way in, on the list and in its dialogs", async ({ people }) => {
    const tenants = await Promise.all(["a", "b"].map((letter) => create(`${slugFor("axe")}-${letter}`)));
    await expectNothingFound(await people.stranger(LIST));
    const page = await people.arrive("owner", LIST);
    for (const tenant of tenants) await expect(rowOf(page, tenant)).toBeVisible();
    await expectNothingFound(page);

    await page.getByRole("button", { name: "Create tenant" }).click();
    const form = page.getByRole("dialog", { name: "Create a tenant" });
    await form.getByLabel("Slug", { exact: true }).fill("no slug");
    await expect(form).toContainText("A slug has lower-case letters");
    await expectNothingFound(page);
  });

  test("on what a bulk cancel asks, and answers", async ({ people }) => {
    const base = slugFor("axe-bulk");
    const page = await people.arrive("owner", `${LIST}?slug=${base}`);
    await create(`${base}-a`);
    await page.getByLabel("Choose all that can be cancelled").check();
    await page.getByRole("button", { name: "Cancel 1 provisioning…" }).click();
    const dialog = page.getByRole("alertdialog");
    await expectNothingFound(page);
    await dialog.getByRole("button", { name: "Cancel provisionings" }).click();
    await expect(dialog.getByRole("button", { name: "Close" })).toBeVisible();
    await expectNothingFound(page);
  });

  test("on a tenant while it is provisioned, and when it is ACTIVE", async ({ people }) => {
    const tenant = await create(slugFor("axe-run"), { start: false });
    const page = await people.arrive("owner", addressOf(tenant));
    const { state, step } = tenantOn(page);
    await expect(state).toHaveText("PENDING");
    await start(tenant);
    await expect(step("validate_request")).toHaveClass(/\bdone\b/);
    await expectNothingFound(page);
    await expect(state).toHaveText("ACTIVE");
    await expectNothingFound(page);
  });

  test("in the dialog of a cancel", async ({ people }) => {
    const tenant = await create(slugFor("axe-cancel"), { start: false });
    const page = await people.arrive("owner", addressOf(tenant));
    await expect(tenantOn(page).state).toHaveText("PENDING");
    await start(tenant);
    await askToCancel(page, "to be looked at");
    await expectNothingFound(page);
  });

  test("on a tenant after a cancel, and in the dialog of a decommission", async ({ people }) => {
    const tenant = await create(slugFor("axe-undone"));
    await command("cancelProvisioning", "CancelProvisioningInput", { tenantId: tenant.id, reason: "to be looked at" });
    const page = await people.arrive("owner", addressOf(tenant));
    const { state, action, dialog } = tenantOn(page);
    await expect(state).toHaveText("PENDING");
    await expectNothingFound(page);
    await action("Decommission…").click();
    await expect(dialog).toBeVisible();
    await expectNothingFound(page);
  });

  test("on the audit feed and on the people's page", async ({ people }) => {
    const page = await people.arrive("owner", "/dashboard/audit");
    await page.locator("tbody summary").first().click();
    await expectNothingFound(page);
    await page.goto("/dashboard/people");
    await expect(page.getByRole("table", { name: "Service accounts" })).toBeVisible();
    await expectNothingFound(page);
    await page.getByRole("button", { name: "Create a service account" }).click();
    await expect(page.getByRole("dialog")).toBeVisible();
    await expectNothingFound(page);
  });
});

test("no page has to be scrolled sideways, on a phone or on a wide screen", async ({ people }) => {
  const tenant = await create(slugFor("wide"));
  await expectNothingSideways(await people.stranger(LIST));
  const page = await people.arrive("admin", LIST);
  await expect(rowOf(page, tenant)).toBeVisible();
  await expectNothingSideways(page);
  await page.goto(addressOf(tenant));
  const { state, action, dialog } = tenantOn(page);
  await expect(state).toHaveText("ACTIVE");
  await expectNothingSideways(page);
  await action("Decommission…").click();
  await expect(dialog).toBeVisible();
  await expectNothingSideways(page);
  await page.goto("/dashboard/audit");
  await expect(page.locator("tbody tr").first()).toBeVisible();
  await expectNothingSideways(page);
  await page.goto("/dashboard/people");
  await expect(page.getByRole("table", { name: "Service accounts" })).toBeVisible();
  await expectNothingSideways(page);
});

test("a provisioning is cancelled by keyboard alone, and whoever did it is left where the work goes on", async ({
  people,
}) => {
  const tenant = await create(slugFor("keys"), { start: false });
  const page = await people.arrive("owner", addressOf(tenant));
  const { state, action, dialog, confirm } = tenantOn(page);
  await expect(action("Retry provisioning")).toBeVisible();
  await tabTo(action("Retry provisioning"));
  await page.keyboard.press("Enter");
  await expect(action("Cancel provisioning")).toBeVisible();

  await tabTo(action("Cancel provisioning"));
  await page.keyboard.press("Enter");
  await expect.poll(() => dialog.evaluate((one) => one.contains(document.activeElement))).toBe(true);
  await page.keyboard.press("Escape");
  await expect(dialog).toHaveCount(0);
  await expect(action("Cancel provisioning")).toBeFocused();

  await page.keyboard.press("Enter");
  await tabTo(dialog.getByLabel("Reason"));
  await page.keyboard.type("typed");
  await tabTo(confirm("Cancel provisioning"));
  await page.keyboard.press("Enter");
  await expect(dialog).toHaveCount(0);
  await expect.poll(() => page.evaluate(() => Boolean(document.activeElement?.closest("#content")))).toBe(true);
  await expect(state).toHaveText("PENDING");
  expect((await truth(tenant)).cancelRequest?.reason).toBe("typed");
});

test("nothing jumps while the timeline fills in", async ({ people }) => {
  const tenant = await create(slugFor("still"));
  const page = await people.arrive("owner", addressOf(tenant));
  const { state, steps, step } = tenantOn(page);
  await expect(step("allocate_storage")).toHaveClass(/\brunning\b/);
  const before = await topsOf(page);
  const shifts = await page.evaluateHandle(() => {
    const seen = { sum: 0 };
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) {
        if (!entry.hadRecentInput) seen.sum += entry.value;
      }
    }).observe({ type: "layout-shift" });
    return seen;
  });

  await expect(state).toHaveText("ACTIVE");
  await expect(step("mark_active")).toHaveClass(/\bdone\b/);

  expect(await steps.count()).toBe(before.length);
  expect(await topsOf(page)).toEqual(before);
  expect(await shifts.evaluate(({ sum }) => sum)).toBeLessThan(JUMPING);
});

async function expectNothingFound(page: Page): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await new AxeBuilder({ page }).withTags(WCAG).analyze();
    const found = violations.map(({ id, help, nodes }) => {
      return { id, help, colorScheme, where: nodes.map((node) => node.target.join(" ")) };
    });
    // All of it in one report.
    expect.soft(found).toEqual([]);
  }
}

async function expectNothingSideways(page: Page): Promise<void> {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    const over = () => page.evaluate(() => (document.scrollingElement?.scrollWidth ?? 0) - innerWidth);
    await expect.poll(over, { message: `${page.url()} at ${width} pixels` }).toBeLessThanOrEqual(0);
  }
}

/** Where each line of the timeline begins, however far the page is scrolled. */
function topsOf(page: Page): Promise<number[]> {
  return tenantOn(page).steps.evaluateAll((lines) => {
    return lines.map((line) => Math.round(line.getBoundingClientRect().top + scrollY));
  });
}
