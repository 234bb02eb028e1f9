import { expect, test } from "./people";
import { create, slugFor } from "./product";
import { LIST } from "./screen";

const PAGE = 25;

test("conditions, order and page live in the address, and survive a reload and the way back", async ({ people }) => {
  const base = slugFor("many");
  for (let number = 10; number < 10 + PAGE + 2; number += 1) {
    await create(`${base}-${number}`, { start: false, as: "globex" });
  }
  await create(`${base}-odd`, { start: false, plan: "starter", as: "globex" });
  const page = await people.arrive("globex", LIST);
  const rows = page.locator("tbody tr");

  await page.getByLabel("Slug begins with").fill(base);
  await page.getByLabel("State").selectOption("PENDING");
  await page.getByLabel("Plan").selectOption("pro");
  await page.getByLabel("Order").selectOption("slug");

  await expect(page.getByText(`${PAGE + 2} tenants`)).toBeVisible();
  await expect(rows).toHaveCount(PAGE);
  await expect(rows.first()).toContainText(`${base}-10`);
  const wished = { slug: base, state: "PENDING", plan: "pro", order: "slug" };
  expect(Object.fromEntries(new URL(page.url()).searchParams)).toEqual(wished);

  await page.getByRole("button", { name: "Next" }).click();
  await expect(rows).toHaveCount(2);
  await page.reload();
  await expect(rows).toHaveCount(2);
  await expect(page.getByLabel("State")).toHaveValue("PENDING");
  await expect(rows.last()).toContainText(`${base}-${10 + PAGE + 1}`);
  await page.goBack();
  await expect(rows).toHaveCount(PAGE);
  expect(Object.fromEntries(new URL(page.url()).searchParams)).toEqual(wished);
});

test("an empty result says so, and offers to clear the filters", async ({ people }) => {
  const page = await people.arrive("globex", `${LIST}?slug=${slugFor("nobody")}`);
  await expect(page.getByText("No tenant is like that.")).toBeVisible();

  await page.getByRole("button", { name: "Clear the filters" }).click();

  await expect(page.getByText("No tenant is like that.")).toHaveCount(0);
  expect(new URL(page.url()).search).toBe("");
});

test("an address of no tenant says that there is none", async ({ people }) => {
  for (const unknown of ["00000000-0000-7000-8000-000000000000", "nonsense"]) {
    const page = await people.arrive("globex", `${LIST}/${unknown}`);

    await expect(page.getByRole("heading", { name: "There is no such tenant" })).toBeVisible();
    await page.getByRole("link", { name: "All tenants" }).click();
    await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();
  }
});
