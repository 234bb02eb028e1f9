import { LIST, pathOf, rowOf, tenantOn, watchFor } from "./page-objects";
import { command, create, fetchTenant, slugFor, start, whileWorkersPause } from "./product";
import { expect, test } from "./users";

test("a viewer sees everything live, and no button for an action", async ({ users }) => {
  const tenant = await create(slugFor("viewed"), { start: false });
  const page = await users.signedIn("viewer", `${LIST}?slug=${tenant.slug}`);
  await expect(rowOf(page, tenant)).toContainText("PENDING");
  const sawProvisioning = await watchFor(page, { selector: "tbody tr", text: "PROVISIONING" });
  await start(tenant);

  await sawProvisioning();
  await expect(page.getByRole("button", { name: "Create tenant" })).toHaveCount(0);
  await expect(page.getByRole("checkbox")).toHaveCount(0);
  await expect(page.getByRole("link", { name: "Audit feed" })).toBeVisible();
  await expect(page.getByRole("link", { name: "People" })).toHaveCount(0);

  await page.getByRole("link", { name: tenant.slug }).click();
  const { actions, state, steps } = tenantOn(page);
  await expect(steps.first()).toBeVisible();
  await expect(page.getByText("There are no actions for you here now.")).toBeVisible();
  await expect(actions).toHaveCount(0);
  await expect(state).toHaveText("ACTIVE");
  await expect(actions).toHaveCount(0);
});

test("the server refuses a viewer's mutations", async () => {
  const tenant = await create(slugFor("refused"));
  const cancel = { tenantId: tenant.id };
  const decommission = { tenantId: tenant.id, confirmSlug: tenant.slug };

  await whileWorkersPause(async () => {
    const refusals = [
      ...(await command("cancelProvisioning", "CancelProvisioningInput", cancel, "viewer")),
      ...(await command("decommissionTenant", "DecommissionTenantInput", decommission, "viewer")),
    ];

    expect(refusals.map((refusal) => refusal.code)).toEqual(["FORBIDDEN", "FORBIDDEN"]);
    expect(await fetchTenant(tenant)).toMatchObject({ state: "PROVISIONING", cancelRequest: null });
  });
});

test("a tenant of another organisation is not found", async ({ users }) => {
  const tenant = await create(slugFor("theirs"), { start: false, as: "globex" });

  const page = await users.signedIn("viewer", pathOf(tenant));

  await expect(page.getByRole("heading", { name: "Tenant not found" })).toBeVisible();
});
