import { create, slugFor, start } from "./product";
import { expect, test } from "./users";

test("the audit feed of a tenant grows live from the top, can be filtered, and exported as a file", async ({
  users,
}) => {
  const tenant = await create(slugFor("audited"), { start: false });
  const page = await users.signedIn("admin", `/dashboard/audit?tenant=${encodeURIComponent(tenant.id)}`);
  const rows = page.locator("tbody tr");
  await expect(rows).toHaveCount(1);
  await expect(rows.first()).toContainText("tenant.created");
  await expect(page.getByRole("list", { name: "Active filters" })).toContainText(tenant.slug);

  await start(tenant);

  await expect(page.getByRole("row").filter({ hasText: "tenant.provisioning.completed" })).toBeVisible();
  await expect(rows.last()).toContainText("tenant.created");

  await page.getByLabel("Type").selectOption("tenant.provisioning.*");
  await expect(page.getByRole("row").filter({ hasText: "tenant.created" })).toHaveCount(0);
  await expect.poll(() => new URL(page.url()).searchParams.get("type")).toBe("tenant.provisioning.*");
  await rows.first().locator("summary").click();
  await expect(rows.first().getByRole("button", { name: "Only this tenant" })).toBeVisible();

  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export CSV" }).click();
  expect((await download).suggestedFilename()).toMatch(/\.csv$/);

  await page.getByRole("button", { name: `Remove the filter on tenant ${tenant.slug}` }).click();
  await expect(page.getByRole("list", { name: "Active filters" })).toHaveCount(0);
  expect(new URL(page.url()).searchParams.has("tenant")).toBe(false);
});
