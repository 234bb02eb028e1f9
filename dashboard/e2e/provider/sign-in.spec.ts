import { LIST } from "../page-objects";
import { execute, PRODUCT } from "../product";
import { expect, IDENTITY_KEY, test } from "../users";

const { ISSUER = "" } = process.env;
/** The user whom the provider of tests/dashboard/provider.py signs in. */
const ADA = "ada@shop.example";

test.beforeEach(({ users }) => users.allowOrigin(ISSUER));

test("a user without an invitation is not signed in after the return from the provider", async ({ users }) => {
  users.allowConsoleMessage(/status of 401/);
  const page = await users.anonymous(LIST);

  await page.getByRole("button", { name: /^Sign in at / }).click();

  await expect(page.locator(".notice")).toBeVisible();
  await expect(page.locator(".notice")).not.toContainText("Could not complete the sign-in");
  await expect(page.getByRole("heading", { name: "Sign in to Tenantry" })).toBeVisible();
  expect(new URL(page.url()).origin).toBe(PRODUCT);
  expect(await page.evaluate((key) => sessionStorage.getItem(key), IDENTITY_KEY)).toBeNull();
});

test("an invited user signs in at the provider, and returns to the requested page", async ({ users }) => {
  const { inviteMember } = await execute<{ inviteMember: { userErrors: unknown[] } }>(
    "mutation Invite($input: InviteMemberInput!) { inviteMember(input: $input) { userErrors { message } } }",
    { input: { email: ADA, role: "ADMIN", name: "Ada" } },
    "owner",
  );
  expect(inviteMember.userErrors).toEqual([]);
  const page = await users.anonymous(`${LIST}?state=ACTIVE`);
  await expect(page.getByRole("button", { name: `Sign in at ${new URL(ISSUER).host}` })).toBeVisible();
  await expect(page.getByRole("heading", { name: "Sign in as" })).toHaveCount(0);

  await page.getByRole("button", { name: /^Sign in at / }).click();

  await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();
  await expect(page.locator(".shell .user")).toContainText(ADA);
  await expect(page.getByRole("button", { name: "Create tenant" })).toBeVisible();
  await expect(page.locator(".shell .connection")).toHaveText("Live");
  await expect(page).toHaveURL(`${PRODUCT}${LIST}?state=ACTIVE`);
  expect(await page.evaluate(() => Object.keys(sessionStorage))).toEqual([IDENTITY_KEY]);
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
});
