import { expect, test } from "./people";
import { create, slugFor, truth } from "./product";
import { LIST, rowOf } from "./screen";

test("several provisionings are cancelled at once, each is answered for, and the list shows how it went", async ({
  people,
}) => {
  const base = slugFor("bulk");
  const page = await people.arrive("owner", `${LIST}?slug=${base}&order=slug`);
  const tenants = await Promise.all(["a", "b", "c"].map((letter) => create(`${base}-${letter}`)));
  for (const tenant of tenants) await expect(rowOf(page, tenant)).toContainText("PROVISIONING");

  await page.getByLabel("Choose all that can be cancelled").check();
  await page.getByRole("button", { name: "Cancel 3 provisionings…" }).click();
  const dialog = page.getByRole("alertdialog");
  await dialog.getByLabel("Reason").fill("the campaign is off");
  await dialog.getByRole("button", { name: "Cancel provisionings" }).click();

  const answers = tenants.map(({ slug }) => `${slug}: cancelling`);
  await expect.poll(async () => (await dialog.getByRole("listitem").allInnerTexts()).toSorted()).toEqual(answers);
  await dialog.getByRole("button", { name: "Close" }).click();
  for (const tenant of tenants) await expect(rowOf(page, tenant)).toContainText("PENDING");
  for (const tenant of tenants) {
    const { state, held, cancelRequest } = await truth(tenant);
    expect({ state, held }).toEqual({ state: "PENDING", held: [] });
    expect(cancelRequest?.reason).toBe("the campaign is off");
  }
});
