import type { Page } from "@playwright/test";
import { LIST, pathOf, tenantOn } from "./page-objects";
import { create, slugFor, tokenOf } from "./product";
import { expect, IDENTITY_KEY, test } from "./users";

test("on a development server a seeded user can be chosen to sign in, and can sign out", async ({ users }) => {
  const page = await users.anonymous(LIST);

  await page.getByRole("group", { name: "acme" }).getByRole("button", { name: "owner" }).click();

  await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();
  await expect(signedInUserOn(page)).toContainText("owner@acme.example");
  await page.getByRole("button", { name: "Sign out" }).click();
  await expect(page.getByRole("heading", { name: "Sign in to Tenantry" })).toBeVisible();
  expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
});

test("after signing in with a pasted token the requested page is shown", async ({ users }) => {
  const tenant = await create(slugFor("deep"), { start: false });
  const page = await users.anonymous(pathOf(tenant));
  const form = page.getByRole("form", { name: "Paste a token" });

  await form.getByLabel("Token").fill(`Bearer ${tokenOf("viewer")}`);
  await form.getByRole("button", { name: "Sign in" }).click();

  await expect(tenantOn(page).state).toHaveText("PENDING");
  await expect(page.getByRole("heading", { name: tenant.slug })).toBeVisible();
  const stored = JSON.stringify({ token: tokenOf("viewer"), organization: "" });
  expect(await page.evaluate(() => ({ ...sessionStorage }))).toEqual({ [IDENTITY_KEY]: stored });
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
});

test("an invalid token does not sign in, and the page says so", async ({ users }) => {
  users.allowConsoleMessage(/status of 401/);
  const page = await users.anonymous(LIST);
  const form = page.getByRole("form", { name: "Paste a token" });

  await form.getByLabel("Token").fill("nonsense");
  await form.getByRole("button", { name: "Sign in" }).click();

  await expect(page.locator(".notice")).toContainText("This server does not accept the token.");
  await expect(page.getByRole("heading", { name: "Sign in to Tenantry" })).toBeVisible();
});

function signedInUserOn(page: Page) {
  return page.locator(".shell .user");
}
