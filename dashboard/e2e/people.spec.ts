import { slugFor } from "./product";
import { expect, test } from "./users";

const PEOPLE = "/dashboard/people";

test("a member is invited, given another role, and removed", async ({ users }) => {
  const name = slugFor("Grace");
  const page = await users.signedIn("owner", PEOPLE);
  const row = page.getByRole("row").filter({ hasText: name });

  await page.getByRole("button", { name: "Invite a member" }).click();
  const form = page.getByRole("dialog", { name: "Invite a member" });
  await form.getByLabel("E-mail").fill(`${name.toLowerCase()}@shop.example`);
  await form.getByLabel("Name").fill(name);
  await form.getByRole("button", { name: "Invite", exact: true }).click();
  await expect(row).toContainText("VIEWER");
  await expect(row).toContainText("invited");

  await row.getByRole("button", { name: `Change role of ${name}` }).click();
  const roles = page.getByRole("dialog", { name: `Role of ${name}` });
  await roles.getByLabel("Role").selectOption("ADMIN");
  await roles.getByRole("button", { name: "Change role" }).click();
  await expect(row).toContainText("ADMIN");

  await row.getByRole("button", { name: `Remove ${name}` }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Remove", exact: true }).click();
  await expect(row).toHaveCount(0);
  await expect(page.getByText(`${name} was removed.`)).toBeVisible();
});

test("the token of a new service account is shown once, and is valid", async ({ users, request }) => {
  const name = slugFor("Importer");
  const page = await users.signedIn("owner", PEOPLE);

  await page.getByRole("button", { name: "Create a service account" }).click();
  const form = page.getByRole("dialog", { name: "Create a service account" });
  await form.getByLabel("Name").fill(name);
  // The visible box is drawn beside the real checkbox, which is hidden: the click goes to the label.
  await form.locator("label", { hasText: "tenants:read" }).click();
  await form.getByRole("button", { name: "Create", exact: true }).click();
  const dialog = page.getByRole("alertdialog", { name: "New token" });
  const token = await dialog.getByLabel("API token").inputValue();
  await dialog.getByRole("button", { name: "Close" }).click();

  const row = page.getByRole("row").filter({ hasText: name });
  await expect(row).toContainText("tenants:read");
  expect(await page.content()).not.toContain(token);
  const response = await request.post("/graphql", {
    headers: { authorization: `Bearer ${token}` },
    data: { query: "{ viewer { actor { displayName } scopes } }" },
  });
  expect(await response.json()).toEqual({
    data: { viewer: { actor: { displayName: name }, scopes: ["tenants:read"] } },
  });
});

test("a user who may not manage people sees who may", async ({ users }) => {
  const page = await users.signedIn("viewer", PEOPLE);

  await expect(page.getByText(/Only the owner and the admins/)).toBeVisible();
  await expect(page.getByRole("table")).toHaveCount(0);
});
