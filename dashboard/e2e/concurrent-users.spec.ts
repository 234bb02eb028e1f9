import type { Page, Request } from "@playwright/test";
import { attributesOf, fillCancelDialog, LIST, operationOf, pathOf, rowOf, tenantOn, watchFor } from "./page-objects";
import { create, fetchTenant, slugFor, start, whileWorkersPause } from "./product";
import { expect, test } from "./users";

test("other users see live who cancelled, the undo, and the change in the list, without another query", async ({
  users,
}) => {
  const tenant = await create(slugFor("together"), { start: false });
  const path = pathOf(tenant);
  const [owner, admin, list] = await Promise.all([
    users.signedIn("owner", path),
    users.signedIn("admin", path),
    users.signedIn("viewer", `${LIST}?slug=${tenant.slug}`),
  ]);
  await expect(rowOf(list, tenant)).toContainText("PENDING");
  await Promise.all([owner, admin].map((page) => expect(tenantOn(page).state).toHaveText("PENDING")));
  const requests: Request[] = [];
  owner.on("request", (request) => requests.push(request));
  const sawEnd = await watchFor(owner, { selector: '[data-kind="RUN_FINISHED"]' });
  await start(tenant);
  await expect(tenantOn(owner).step("allocate_storage")).toHaveClass(/\bdone\b/);

  await whileWorkersPause(async () => {
    await expect(rowOf(list, tenant)).toContainText("PROVISIONING");
    const confirm = await fillCancelDialog(admin, "changed our mind");
    await confirm.click();

    await expect(tenantOn(owner).notice).toContainText("Cancelling…");
    await expect(tenantOn(owner).notice).toContainText("admin@acme.example");
    await expect(tenantOn(owner).notice).toContainText("changed our mind");
    await expect(rowOf(list, tenant)).toContainText(/Cancelling…|Undoing…/);
  });

  await expect(tenantOn(owner).undo.first()).toBeVisible();
  await expect(tenantOn(owner).state).toHaveText("PENDING");
  await expect(tenantOn(owner).nothingHeld).toBeVisible();
  // Later the page polls the absence checks; before, it may still have been about to subscribe to the changes.
  const end = (await owner.evaluate(() => performance.timeOrigin)) + (await sawEnd()).at;
  const queries = requests.filter((request) => request.timing().startTime < end).map(operationOf);
  expect(queries.filter((name) => name !== "TenantCursor")).toEqual([]);
  await expect(rowOf(list, tenant)).toContainText("PENDING");
  await expect(tenantOn(admin).state).toHaveText("PENDING");
  expect(await undoneStepsOn(owner)).toEqual(await undoneStepsOn(admin));
});

test("the second of two concurrent cancels shows who was first, and the reason", async ({ users }) => {
  const tenant = await create(slugFor("second"), { start: false });
  const path = pathOf(tenant);
  const [owner, admin] = await Promise.all([users.signedIn("owner", path), users.signedIn("admin", path)]);
  const requests = await Promise.all([owner, admin].map((page) => holdRequests(page, "CancelProvisioning")));
  await Promise.all([owner, admin].map((page) => expect(tenantOn(page).state).toHaveText("PENDING")));
  await start(tenant);
  const result = (page: Page) => page.getByRole("dialog", { name: /^Already cancelled by / });

  // A run without a begun step is cancelled at once, without a worker: the second request would come too late.
  await expect
    .poll(async () => (await fetchTenant(tenant)).entries.some((entry) => entry.kind === "STEP_STARTED"))
    .toBe(true);
  // The workers pause, so that the cancellation is still under way when the second request arrives.
  await whileWorkersPause(async () => {
    const confirms = await Promise.all([fillCancelDialog(owner, "mine"), fillCancelDialog(admin, "quicker")]);
    await Promise.all(confirms.map((confirm) => confirm.click()));
    for (const page of [owner, admin]) {
      await expect(tenantOn(page).dialog.getByText("Requesting cancellation…")).toBeVisible();
    }
    for (const { release } of requests) release();
    await expect.poll(async () => (await result(owner).count()) + (await result(admin).count())).toBe(1);
  });

  const second = (await result(owner).count()) === 1 ? owner : admin;
  const first =
    second === owner ? { who: "admin@acme.example", why: "quicker" } : { who: "owner@acme.example", why: "mine" };
  await expect(result(second)).toContainText(`Already cancelled by ${first.who}`);
  await expect(result(second)).toContainText(first.why);
  await result(second).getByRole("button", { name: "Watch the undo" }).click();
  await expect(tenantOn(second).state).toHaveText("PENDING");
  const { cancelRequest, entries } = await fetchTenant(tenant, "owner"); // a caller that may see addresses
  expect(cancelRequest).toEqual({ reason: first.why, requestedBy: { displayName: first.who } });
  expect(entries.filter((entry) => entry.kind === "CANCEL_REQUESTED")).toHaveLength(1);
});

function undoneStepsOn(page: Page) {
  return attributesOf(tenantOn(page).undo, "data-undo");
}

/** Hold back the page's requests with this operation until they are released. */
async function holdRequests(page: Page, operation: string): Promise<{ release: () => void }> {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route("**/graphql", async (route) => {
    if (operationOf(route.request()) === operation) await released;
    await route.continue();
  });
  return { release };
}
