import { expect, test } from "./people";
import { command, create, slugFor, truth } from "./product";
import { addressOf, LIST, rowOf, tenantOn } from "./screen";

test("a viewer sees everything live, and no button that would do something", async ({ people }) => {
  const tenant = await create(slugFor("viewed"));
  const page = await people.arrive("viewer", `${LIST}?slug=${tenant.slug}`);

  await expect(rowOf(page, tenant)).toContainText("PROVISIONING");
  await expect(page.getByRole("button", { name: "Create tenant" })).toHaveCount(0);
  await expect(page.getByRole("checkbox")).toHaveCount(0);
  await expect(page.getByRole("link", { name: "Audit feed" })).toBeVisible();
  await expect(page.getByRole("link", { name: "People" })).toHaveCount(0);

  await page.getByRole("link", { name: tenant.slug }).click();
  const { actions, state, steps } = tenantOn(page);
  await expect(steps.first()).toBeVisible();
  await expect(page.getByText("There is nothing for you to do here now.")).toBeVisible();
  await expect(actions).toHaveCount(0);
  await expect(state).toHaveText("ACTIVE");
  await expect(actions).toHaveCount(0);
});

test("what a viewer has no button for, the server refuses all the same", async () => {
  const tenant = await create(slugFor("refused"));

  const refusals = [
    ...(await command("cancelProvisioning", "CancelProvisioningInput", { tenantId: tenant.id }, "viewer")),
    ...(await command(
      "decommissionTenant",
      "DecommissionTenantInput",
      { tenantId: tenant.id, confirmSlug: tenant.slug },
      "viewer",
    )),
  ];

  expect(refusals.map((refusal) => refusal.code)).toEqual(["FORBIDDEN", "FORBIDDEN"]);
  expect(await truth(tenant)).toMatchObject({ state: "PROVISIONING", cancelRequest: null });
});

test("a tenant of another organisation does not exist for anybody here", async ({ people }) => {
  const tenant = await create(slugFor("theirs"), { start: false, as: "globex" });

  const page = await people.arrive("viewer", addressOf(tenant));

  await expect(page.getByRole("heading", { name: "There is no such tenant" })).toBeVisible();
});
