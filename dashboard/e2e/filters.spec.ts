import { LIST } from "./page-objects";
import { create, slugFor } from "./product";
import { expect, test } from "./users";

const PAGE_SIZE = 25;

test("filters, order and page are in the URL, and survive a reload and the browser's back button", async ({
  users,
}) => {
  const base = slugFor("many");
  for (let number = 10; number < 10 + PAGE_SIZE + 2; number += 1) {
    await create(`${base}-${number}`, { start: false, as: "globex" });
  }
  await create(`${base}-odd`, { start: false, plan: "starter", as: "globex" });
  const page = await users.signedIn("globex", LIST);
  const rows = page.locator("tbody tr");

  await page.getByLabel("Slug begins with").fill(base);
  await page.getByLabel("State").selectOption("PENDING");
  await page.getByLabel("Plan").selectOption("pro");
  await page.getByLabel("Order").selectOption("slug");

  await expect(page.getByText(`${PAGE_SIZE + 2} tenants`)).toBeVisible();
  await expect(rows).toHaveCount(PAGE_SIZE);
  await expect(rows.first()).toContainText(`${base}-10`);
  const filters = { slug: base, state: "PENDING", plan: "pro", order: "slug" };
  expect(Object.fromEntries(new URL(page.url()).searchParams)).toEqual(filters);

  await page.getByRole("button", { name: "Next" }).click();
  await expect(rows).toHaveCount(2);
  await page.reload();
  await expect(rows).toHaveCount(2);
  await expect(page.getByLabel("State")).toHaveValue("PENDING");
  await expect(rows.last()).toContainText(`${base}-${10 + PAGE_SIZE + 1}`);
  await page.goBack();
  await expect(rows).toHaveCount(PAGE_SIZE);
  expect(Object.fromEntries(new URL(page.url()).searchParams)).toEqual(filters);
});

test("an empty result says so, and offers to clear the filters", async ({ users }) => {
  const page = await users.signedIn("globex", `${LIST}?slug=${slugFor("unknown")}`);
  await expect(page.getByText("No tenants match the filters.")).toBeVisible();

  await page.getByRole("button", { name: "Clear the filters" }).click();

  await expect(page.getByText("No tenants match the filters.")).toHaveCount(0);
  expect(new URL(page.url()).search).toBe("");
});

test("the URL of an unknown tenant shows that it was not found", async ({ users }) => {
  for (const unknown of ["00000000-0000-7000-8000-000000000000", "nonsense"]) {
    const page = await users.signedIn("globex", `${LIST}/${unknown}`);

    await expect(page.getByRole("heading", { name: "Tenant not found" })).toBeVisible();
    await page.getByRole("link", { name: "All tenants" }).click();
    await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();
  }
});
