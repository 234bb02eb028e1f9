import { expect, test } from "./people";
import { slugFor } from "./product";

const PAGE = "/dashboard/people";

test("a member is invited, given another role, and removed", async ({ people }) => {
  const name = slugFor("Grace");
  const page = await people.arrive("owner", PAGE);
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
  await expect(page.getByText(`${name} is no member any more.`)).toBeVisible();
});

test("the token of a new service account is shown once, and is good", async ({ people, request }) => {
  const name = slugFor("Importer");
  const page = await people.arrive("owner", PAGE);

  await page.getByRole("button", { name: "Create a service account" }).click();
  const form = page.getByRole("dialog", { name: "Create a service account" });
  await form.getByLabel("Name").fill(name);
  // The box is drawn beside the browser's own, which is what knows whether it is ticked.
  await form.locator("label", { hasText: "tenants:read" }).click();
  await form.getByRole("button", { name: "Create", exact: true }).click();
  const shown = page.getByRole("alertdialog", { name: "The token" });
  const token = await shown.getByLabel("API token").inputValue();
  await shown.getByRole("button", { name: "Close" }).click();

  const row = page.getByRole("row").filter({ hasText: name });
  await expect(row).toContainText("tenants:read");
  expect(await page.content()).not.toContain(token);
  const answer = await request.post("/graphql", {
    headers: { authorization: `Bearer ${token}` },
    data: { query: "{ viewer { actor { displayName } scopes } }" },
  });
  expect(await answer.json()).toEqual({
    data: { viewer: { actor: { displayName: name }, scopes: ["tenants:read"] } },
  });
});

test("whoever may not manage people is told who may", async ({ people }) => {
  const page = await people.arrive("viewer", PAGE);

  await expect(page.getByText(/managed by the owner and the admins/)).toBeVisible();
  await expect(page.getByRole("table")).toHaveCount(0);
});
