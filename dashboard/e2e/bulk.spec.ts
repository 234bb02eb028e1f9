import { LIST, rowOf } from "./page-objects";
import { create, fetchTenant, slugFor, whileWorkersPause } from "./product";
import { expect, test } from "./users";

test("several provisionings are cancelled at once, each has a result, and the list shows the new states", async ({
  users,
}) => {
  const base = slugFor("bulk");
  const page = await users.signedIn("owner", `${LIST}?slug=${base}&order=slug`);
  await expect(page.getByText("No tenants match the filters.")).toBeVisible();
  const tenants = await Promise.all(["a", "b", "c"].map((letter) => create(`${base}-${letter}`)));
  for (const tenant of tenants) {
    await expect.poll(async () => (await fetchTenant(tenant)).held.length).toBeGreaterThan(0);
  }
  const dialog = page.getByRole("alertdialog");

  await whileWorkersPause(async () => {
    for (const tenant of tenants) await expect(rowOf(page, tenant)).toContainText("PROVISIONING");
    await page.getByLabel("Select all that can be cancelled").check();
    await page.getByRole("button", { name: "Cancel 3 provisionings…" }).click();
    await dialog.getByLabel("Reason").fill("the campaign is off");
    await dialog.getByRole("button", { name: "Cancel provisionings" }).click();

    const results = tenants.map(({ slug }) => `${slug}: cancelling`);
    await expect.poll(async () => (await dialog.getByRole("listitem").allInnerTexts()).toSorted()).toEqual(results);
  });

  await dialog.getByRole("button", { name: "Close" }).click();
  for (const tenant of tenants) await expect(rowOf(page, tenant)).toContainText("PENDING");
  for (const tenant of tenants) {
    const { state, held, cancelRequest } = await fetchTenant(tenant);
    expect({ state, held }).toEqual({ state: "PENDING", held: [] });
    expect(cancelRequest?.reason).toBe("the campaign is off");
  }
});
