import { expect, test } from "./people";
import { create, slugFor, truth } from "./product";
import { addressOf, askToCancel, operationOf, tenantOn } from "./screen";

test("a tenant that became ACTIVE while the dialog was open stays so, and the refusal is shown as what it is", async ({
  people,
}) => {
  const tenant = await create(slugFor("late"));
  const page = await people.arrive("admin", addressOf(tenant));
  const { state, step, dialog, confirm } = tenantOn(page);
  await expect(step("deploy_workloads")).toHaveClass(/\brunning\b/);
  await askToCancel(page, "too late");
  await expect(state).toHaveText("ACTIVE");
  await expect(dialog).toContainText("There is nothing to cancel any more");

  await confirm("Cancel provisioning").click();

  await expect(dialog.getByRole("alert")).toContainText(
    "The tenant is ACTIVE: only a provisioning under way can be cancelled.",
  );
  await confirm("Close").click();
  await expect(dialog).toHaveCount(0);
  await expect(state).toHaveText("ACTIVE");
  const { state: kept, status, cancelRequest } = await truth(tenant);
  expect({ kept, status, cancelRequest }).toEqual({ kept: "ACTIVE", status: "SUCCEEDED", cancelRequest: null });
});

test("clicking twice cancels once", async ({ people }) => {
  const tenant = await create(slugFor("twice"));
  const page = await people.arrive("admin", addressOf(tenant));
  const { state, step } = tenantOn(page);
  const sent: (string | undefined)[] = [];
  page.on("request", (request) => sent.push(operationOf(request)));
  await expect(step("allocate_storage")).toHaveClass(/\bdone\b/);

  await (await askToCancel(page, "twice")).dblclick();

  await expect(state).toHaveText("PENDING");
  expect(sent.filter((operation) => operation === "CancelProvisioning")).toHaveLength(1);
  const { entries } = await truth(tenant);
  expect(entries.filter((entry) => entry.kind === "CANCEL_REQUESTED")).toHaveLength(1);
});
