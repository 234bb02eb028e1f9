import { expect, KEPT_UNDER, test } from "../people";
import { ask, PRODUCT } from "../product";
import { LIST } from "../screen";

const { ISSUER = "" } = process.env;
/** Whom the provider of tests/dashboard/provider.py lets in. */
const ADA = "ada@shop.example";

test.beforeEach(({ people }) => people.befriend(ISSUER));

test("whoever was not invited comes back from the provider and gets no further", async ({ people }) => {
  people.tolerate(/status of 401/);
  const page = await people.stranger(LIST);

  await page.getByRole("button", { name: /^Sign in at / }).click();

  await expect(page.locator(".notice")).toBeVisible();
  await expect(page.locator(".notice")).not.toContainText("did not work");
  await expect(page.getByRole("heading", { name: "Sign in to Tenantry" })).toBeVisible();
  expect(new URL(page.url()).origin).toBe(PRODUCT);
  expect(await page.evaluate((key) => sessionStorage.getItem(key), KEPT_UNDER)).toBeNull();
});

test("whoever was invited signs in at the provider, and is back where they wanted to be", async ({ people }) => {
  const { inviteMember } = await ask<{ inviteMember: { userErrors: unknown[] } }>(
    "mutation Invite($input: InviteMemberInput!) { inviteMember(input: $input) { userErrors { message } } }",
    { input: { email: ADA, role: "ADMIN", name: "Ada" } },
    "owner",
  );
  expect(inviteMember.userErrors).toEqual([]);
  const page = await people.stranger(`${LIST}?state=ACTIVE`);
  await expect(page.getByRole("button", { name: `Sign in at ${new URL(ISSUER).host}` })).toBeVisible();
  await expect(page.getByRole("heading", { name: "Be somebody" })).toHaveCount(0);

  await page.getByRole("button", { name: /^Sign in at / }).click();

  await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();
  await expect(page.locator(".shell .who")).toContainText(ADA);
  await expect(page.getByRole("button", { name: "Create tenant" })).toBeVisible();
  await expect(page.locator(".shell .link")).toHaveText("Live");
  await expect(page).toHaveURL(`${PRODUCT}${LIST}?state=ACTIVE`);
  expect(await page.evaluate(() => Object.keys(sessionStorage))).toEqual([KEPT_UNDER]);
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
});
