import { fillCancelDialog, operationOf, pathOf, tenantOn } from "./page-objects";
import { create, fetchTenant, slugFor, start, whileWorkersPause } from "./product";
import { expect, test } from "./users";

test("no cancel is offered when the tenant became ACTIVE while the dialog was open, and the dialog says so", async ({
  users,
}) => {
  const tenant = await create(slugFor("late"), { start: false });
  const page = await users.signedIn("admin", pathOf(tenant));
  const { state, dialog, confirm } = tenantOn(page);
  await expect(state).toHaveText("PENDING");
  await start(tenant);
  await whileWorkersPause(() => fillCancelDialog(page, "too late"));
  await expect(state).toHaveText("ACTIVE");

  await expect(dialog).toContainText(`There is nothing to cancel any more: ${tenant.slug} is now ACTIVE.`);
  await expect(confirm("Cancel provisioning")).toHaveCount(0);
  await confirm("Close").click();
  await expect(dialog).toHaveCount(0);
  await expect(state).toHaveText("ACTIVE");
  const { state: stored, status, cancelRequest } = await fetchTenant(tenant);
  expect({ stored, status, cancelRequest }).toEqual({ stored: "ACTIVE", status: "SUCCEEDED", cancelRequest: null });
});

test("a double click on the button cancels once", async ({ users }) => {
  const tenant = await create(slugFor("twice"), { start: false });
  const page = await users.signedIn("admin", pathOf(tenant));
  const { state, step, notice } = tenantOn(page);
  const sent: (string | undefined)[] = [];
  page.on("request", (request) => sent.push(operationOf(request)));
  await expect(state).toHaveText("PENDING");
  await start(tenant);
  await expect(step("allocate_storage")).toHaveClass(/\bdone\b/);

  await whileWorkersPause(async () => {
    await (await fillCancelDialog(page, "twice")).dblclick();
    await expect(notice).toContainText("Cancelling…");
  });

  await expect(state).toHaveText("PENDING");
  expect(sent.filter((operation) => operation === "CancelProvisioning")).toHaveLength(1);
  const { entries } = await fetchTenant(tenant);
  expect(entries.filter((entry) => entry.kind === "CANCEL_REQUESTED")).toHaveLength(1);
});
