import { AxeBuilder } from "@axe-core/playwright";
import type { JSHandle, Page } from "@playwright/test";
import { fillCancelDialog, LIST, pathOf, rowOf, tabTo, tenantOn, watchFor } from "./page-objects";
import { command, create, fetchTenant, slugFor, start, whileWorkersPause } from "./product";
import { expect, test } from "./users";

const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const WIDTHS = [360, 1920];

/** The cumulative layout shift above which users notice it (web.dev/cls). */
const NOTICEABLE_SHIFT = 0.1;

test.describe("axe finds no violation, in light and in dark mode,", () => {
  test("on the sign-in page, on the list and in its dialogs", async ({ users }) => {
    const tenants = await Promise.all(["a", "b"].map((letter) => create(`${slugFor("axe")}-${letter}`)));
    await expectNoViolations(await users.anonymous(LIST));
    const page = await users.signedIn("owner", LIST);
    for (const tenant of tenants) await expect(rowOf(page, tenant)).toBeVisible();
    await expectNoViolations(page);

    await page.getByRole("button", { name: "Create tenant" }).click();
    const form = page.getByRole("dialog", { name: "Create a tenant" });
    await form.getByLabel("Slug", { exact: true }).fill("no slug");
    await expect(form).toContainText("A slug must consist of lower-case letters");
    await expectNoViolations(page);
  });

  test("in the dialog of a bulk cancel, before and after it", async ({ users }) => {
    const base = slugFor("axe-bulk");
    const page = await users.signedIn("owner", `${LIST}?slug=${base}`);
    await expect(page.getByText("No tenants match the filters.")).toBeVisible();
    await create(`${base}-a`);
    await whileWorkersPause(async () => {
      await page.getByLabel("Select all that can be cancelled").check();
      await page.getByRole("button", { name: "Cancel 1 provisioning…" }).click();
    });
    const dialog = page.getByRole("alertdialog");
    await expectNoViolations(page);
    await dialog.getByRole("button", { name: "Cancel provisionings" }).click();
    await expect(dialog.getByRole("button", { name: "Close" })).toBeVisible();
    await expectNoViolations(page);
  });

  test("on a tenant during its provisioning, and when it is ACTIVE", async ({ users }) => {
    const tenant = await create(slugFor("axe-run"), { start: false });
    const page = await users.signedIn("owner", pathOf(tenant));
    const { state, step } = tenantOn(page);
    await expect(state).toHaveText("PENDING");
    await start(tenant);
    await expect(step("validate_request")).toHaveClass(/\bdone\b/);
    await expectNoViolations(page);
    await expect(state).toHaveText("ACTIVE");
    await expectNoViolations(page);
  });

  test("in the dialog of a cancel", async ({ users }) => {
    const tenant = await create(slugFor("axe-cancel"), { start: false });
    const page = await users.signedIn("owner", pathOf(tenant));
    await expect(tenantOn(page).state).toHaveText("PENDING");
    await start(tenant);
    await whileWorkersPause(() => fillCancelDialog(page, "test of the dialog"));
    await expectNoViolations(page);
  });

  test("on a tenant after a cancel, and in the dialog of a decommissioning", async ({ users }) => {
    const tenant = await create(slugFor("axe-undone"));
    const reason = "test of the page";
    await command("cancelProvisioning", "CancelProvisioningInput", { tenantId: tenant.id, reason });
    const page = await users.signedIn("owner", pathOf(tenant));
    const { state, action, dialog } = tenantOn(page);
    await expect(state).toHaveText("PENDING");
    await expectNoViolations(page);
    await action("Decommission…").click();
    await expect(dialog).toBeVisible();
    await expectNoViolations(page);
  });

  test("on the audit feed and on the people page", async ({ users }) => {
    const page = await users.signedIn("owner", "/dashboard/audit");
    await page.locator("tbody summary").first().click();
    await expectNoViolations(page);
    await page.goto("/dashboard/people");
    await expect(page.getByRole("table", { name: "Service accounts" })).toBeVisible();
    await expectNoViolations(page);
    await page.getByRole("button", { name: "Create a service account" }).click();
    await expect(page.getByRole("dialog")).toBeVisible();
    await expectNoViolations(page);
  });
});

test("no page scrolls horizontally, on a phone or on a wide screen", async ({ users }) => {
  const tenant = await create(slugFor("wide"));
  await expectNoHorizontalScroll(await users.anonymous(LIST));
  const page = await users.signedIn("admin", LIST);
  await expect(rowOf(page, tenant)).toBeVisible();
  await expectNoHorizontalScroll(page);
  await page.goto(pathOf(tenant));
  const { state, action, dialog } = tenantOn(page);
  await expect(state).toHaveText("ACTIVE");
  await expectNoHorizontalScroll(page);
  await action("Decommission…").click();
  await expect(dialog).toBeVisible();
  await expectNoHorizontalScroll(page);
  await page.goto("/dashboard/audit");
  await expect(page.locator("tbody tr").first()).toBeVisible();
  await expectNoHorizontalScroll(page);
  await page.goto("/dashboard/people");
  await expect(page.getByRole("table", { name: "Service accounts" })).toBeVisible();
  await expectNoHorizontalScroll(page);
});

test("a provisioning is cancelled by keyboard alone, and the focus stays in the content of the page", async ({
  users,
}) => {
  const tenant = await create(slugFor("keys"), { start: false });
  const page = await users.signedIn("owner", pathOf(tenant));
  const { state, action, dialog, confirm } = tenantOn(page);
  await expect(action("Start provisioning")).toBeVisible();
  await tabTo(action("Start provisioning"));
  await page.keyboard.press("Enter");

  await whileWorkersPause(async () => {
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
  });
  await expect.poll(() => page.evaluate(() => Boolean(document.activeElement?.closest("#content")))).toBe(true);
  await expect(state).toHaveText("PENDING");
  expect((await fetchTenant(tenant)).cancelRequest?.reason).toBe("typed");
});

test("the timeline keeps its layout while it fills in", async ({ users }) => {
  const tenant = await create(slugFor("still"), { start: false });
  const page = await users.signedIn("owner", pathOf(tenant));
  const { state, steps, step } = tenantOn(page);
  await expect(state).toHaveText("PENDING");
  const recorder = await recordLayout(page);
  const sawRunning = await watchFor(page, { selector: '[data-step="allocate_storage"].running' });
  await start(tenant);

  await sawRunning();
  await expect(state).toHaveText("ACTIVE");
  await expect(step("mark_active")).toHaveClass(/\bdone\b/);

  const { layouts, shift } = await recorder.evaluate((recorded) => recorded);
  expect(layouts).toHaveLength(1);
  expect(layouts).toEqual([await topsOf(page)]);
  expect(layouts[0]).toHaveLength(await steps.count());
  expect(shift).toBeLessThan(NOTICEABLE_SHIFT);
});

test("the timeline is at the same height with and without actions above it", async ({ users }) => {
  const tenant = await create(slugFor("height"));
  const [owner, viewer] = [
    await users.signedIn("owner", pathOf(tenant)),
    await users.signedIn("viewer", pathOf(tenant)),
  ];
  await expect(tenantOn(owner).action("Suspend…")).toBeVisible();
  await expect(tenantOn(viewer).state).toHaveText("ACTIVE");

  expect(await topsOf(viewer)).toEqual(await topsOf(owner));
});

async function expectNoViolations(page: Page): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    const { violations } = await new AxeBuilder({ page }).withTags(WCAG).analyze();
    const found = violations.map(({ id, help, nodes }) => {
      return { id, help, colorScheme, where: nodes.map((node) => node.target.join(" ")) };
    });
    // A soft expectation reports all violations of the test at once.
    expect.soft(found).toEqual([]);
  }
}

async function expectNoHorizontalScroll(page: Page): Promise<void> {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 800 });
    const overflow = () => page.evaluate(() => (document.scrollingElement?.scrollWidth ?? 0) - innerWidth);
    await expect.poll(overflow, { message: `${page.url()} at ${width} pixels` }).toBeLessThanOrEqual(0);
  }
}

interface RecordedLayout {
  /** The tops of the timeline's lines, once for each different layout since the first frame with a timeline. */
  layouts: number[][];
  /** The cumulative layout shift after that frame. */
  shift: number;
}

/** Record the layout of the timeline inside the page, frame by frame, from the first frame that shows it. */
function recordLayout(page: Page): Promise<JSHandle<RecordedLayout>> {
  return page.evaluateHandle(() => {
    const recorded: RecordedLayout = { layouts: [], shift: 0 };
    let secondFrame: number | undefined;
    let last = "";
    function record(time: number) {
      const lines = [...document.querySelectorAll("[data-step]")];
      const tops = lines.map((line) => Math.round(line.getBoundingClientRect().top + scrollY));
      if (tops.length > 0) {
        if (last) secondFrame ??= time;
        if (JSON.stringify(tops) !== last) recorded.layouts.push(tops);
        last = JSON.stringify(tops);
      }
      requestAnimationFrame(record);
    }
    requestAnimationFrame(record);
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number; hadRecentInput: boolean })[]) {
        // In the first frame, the appearance of the timeline itself shifts what is below it.
        const counts = secondFrame !== undefined && entry.startTime >= secondFrame && !entry.hadRecentInput;
        if (counts) recorded.shift += entry.value;
      }
    }).observe({ type: "layout-shift" });
    return recorded;
  });
}

/** The tops of the timeline's lines, in pixels from the top of the document. */
function topsOf(page: Page): Promise<number[]> {
  return tenantOn(page).steps.evaluateAll((lines) => {
    return lines.map((line) => Math.round(line.getBoundingClientRect().top + scrollY));
  });
}
