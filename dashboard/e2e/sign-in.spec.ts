import type { Page } from "@playwright/test";
import { expect, KEPT_UNDER, test } from "./people";
import { create, slugFor, tokenOf } from "./product";
import { addressOf, LIST, tenantOn } from "./screen";

test("on a machine of one's own one may be anybody whom the seed made, and nobody again", async ({ people }) => {
  const page = await people.stranger(LIST);

  await page.getByRole("group", { name: "acme" }).getByRole("button", { name: "owner" }).click();

  await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();
  await expect(whoOn(page)).toContainText("owner@acme.example");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "Sign in to Tenantry" })).toBeVisible();
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});

test("a token can be pasted, and whoever came for a tenant gets to it", async ({ people }) => {
  const tenant = await create(slugFor("deep"), { start: false });
  const page = await people.stranger(addressOf(tenant));
  const form = page.getByRole("form", { name: "Paste a token" });

  await form.getByLabel("Token").fill(`Bearer ${tokenOf("viewer")}`);
  await form.getByRole("button", { name: "Sign in" }).click();

  await expect(tenantOn(page).state).toHaveText("PENDING");
  await expect(page.getByRole("heading", { name: tenant.slug })).toBeVisible();
  const kept = JSON.stringify({ token: tokenOf("viewer"), organization: "" });
  expect(await page.evaluate(() => ({ ...sessionStorage }))).toEqual({ [KEPT_UNDER]: kept });
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
});

test("a token that is no good signs nobody in, and the page says so", async ({ people }) => {
  people.tolerate(/status of 401/);
  const page = await people.stranger(LIST);
  const form = page.getByRole("form", { name: "Paste a token" });

  await form.getByLabel("Token").fill("nonsense");
  await form.getByRole("button", { name: "Sign in" }).click();

  await expect(page.locator(".notice")).toContainText("This token is not valid here.");
  await expect(page.getByRole("heading", { name: "Sign in to Tenantry" })).toBeVisible();
});

function whoOn(page: Page) {
  return page.locator(".shell .who");
}
