/** A deployer that misbehaves, as under `make up ARGS="--faults"`: words in the slug choose how (devserver/faults.py). */

import { LIST, pathOf, rowOf, tenantOn, watchFor } from "./page-objects";
import { command, create, fetchTenant, slugFor, start } from "./product";
import { expect, test } from "./users";

const REFUSED = "The deployer refused the workload, because the slug contains “fail”.";
const STUCK = "The deployer refused to tear the workload down, because the slug contains “stick”.";

test("a tenant is FAILED when the deployer refuses its workload, and the head of its page says what failed and why", async ({
  users,
}) => {
  const tenant = await create(slugFor("shop-fail"), { start: false });
  const page = await users.signedIn("owner", pathOf(tenant));
  const { state, failure, nothingHeld, undo, action } = tenantOn(page);
  await expect(state).toHaveText("PENDING");
  await action("Start provisioning").click();

  await expect(state).toHaveText("FAILED");

  await expect(failure).toContainText(`“Deploy the workload” failed: ${REFUSED}`);
  await expect(failure).toContainText("Correct the cause first");
  await expect(nothingHeld).toBeVisible();
  await expect(page.locator('[data-undo="deploy_workloads"]')).toContainText("undone, confirmed absent");
  await expect(page.locator('[data-undo="validate_request"]')).toContainText("held nothing");
  await expect(undo.first()).toBeVisible();
  await expect(action("Retry provisioning")).toBeVisible();
});

test("an undo that the deployer refuses is STUCK until the step is skipped, and what was left behind stays on the page", async ({
  users,
}) => {
  const tenant = await create(slugFor("shop-fail-stick"), { start: false });
  const [page, list] = [
    await users.signedIn("owner", pathOf(tenant)),
    await users.signedIn("viewer", `${LIST}?slug=${tenant.slug}`),
  ];
  const { state, runStatus, failure, notice, action, dialog, confirm, nothingHeld, leftBehind } = tenantOn(page);
  await expect(state).toHaveText("PENDING");
  await start(tenant);

  await expect(runStatus).toContainText(/^Stuck since /);
  await expect(state).toHaveText("PROVISIONING");
  await expect(rowOf(list, tenant)).toContainText("Stuck");
  await expect(failure).toContainText(REFUSED);
  await expect(notice).toContainText(/stuck at “Deploy the workload” since .*, after 1 attempt: /);
  await expect(notice).toContainText(STUCK);

  await action("Resume undo…").click();
  await expect(dialog).toContainText(STUCK);
  await dialog.locator("label", { hasText: "Skip this step" }).click();
  await dialog.getByLabel("Reason").fill("the cluster is being replaced");
  await confirm("Skip and resume").click();

  await expect(state).toHaveText("FAILED");
  await expect(runStatus).toHaveCount(0);
  await expect(leftBehind).toContainText(/workload .*shop-fail-stick.*, left in place by owner@acme\.example, /);
  await expect(leftBehind).toContainText("“the cluster is being replaced”");
  await expect(page.locator(".page-head")).toContainText("1 resource left behind");
  await expect(failure).toContainText(REFUSED);
  await expect(nothingHeld).toHaveCount(0);
  const checks = page.getByRole("region", { name: "Verified outside" });
  await expect(checks).toContainText("still there: left in place by an operator");
  await expect(page.getByText(/nothing is held/i)).toHaveCount(0);
  expect((await fetchTenant(tenant)).held).toEqual([]);

  await list.goto(`${LIST}?slug=${tenant.slug}&left=yes`);
  await expect(rowOf(list, tenant)).toContainText("FAILED");
  await list.getByLabel("Left behind").selectOption("Nothing");
  await expect(list.getByText("No tenants match the filters.")).toBeVisible();
});

test("a step that waits for its next attempt says which, when and why", async ({ users }) => {
  const tenant = await create(slugFor("shop-flaky"), { start: false });
  const page = await users.signedIn("viewer", pathOf(tenant));
  const { state } = tenantOn(page);
  await expect(state).toHaveText("PENDING");
  const line = '[data-step="deploy_workloads"] .more';
  const text = String.raw`^Attempt 2 of 3 (in [\d.]+ s|now): The deployer did not answer in time, because the slug contains “flaky”\.$`;
  const sawWait = await watchFor(page, { selector: line, text });
  await start(tenant);

  await sawWait();
  await expect(state).toHaveText("ACTIVE");
});

test("an undo that hangs shows the deployer's words, and how long it has waited", async ({ users }) => {
  const tenant = await create(slugFor("shop-hang"), { start: false });
  const page = await users.signedIn("owner", pathOf(tenant));
  const { state, step, runStatus } = tenantOn(page);
  await expect(state).toHaveText("PENDING");
  await start(tenant);
  await expect(step("await_readiness")).toHaveClass(/\brunning\b/);
  await command("cancelProvisioning", "CancelProvisioningInput", { tenantId: tenant.id, reason: "not needed" });

  await expect(runStatus).toContainText("Cancelling…");
  await expect(page.locator('[data-undo="deploy_workloads"] .more')).toContainText(
    /being undone · The workload is terminating, because the slug contains “hang”\. · waiting for .*, asked again .* · this attempt ends by/,
  );
});
