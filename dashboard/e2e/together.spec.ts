import type { Page } from "@playwright/test";
import { expect, test } from "./people";
import { create, slugFor, start, truth } from "./product";
import { addressOf, askToCancel, LIST, lookOut, marksOf, operationOf, rowOf, tenantOn } from "./screen";

test("one cancels, and everybody else sees by whom, the undo, and the list move, without asking again", async ({
  people,
}) => {
  const tenant = await create(slugFor("together"), { start: false });
  const address = addressOf(tenant);
  const [owner, admin, list] = await Promise.all([
    people.arrive("owner", address),
    people.arrive("admin", address),
    people.arrive("viewer", `${LIST}?slug=${tenant.slug}`),
  ]);
  await expect(rowOf(list, tenant)).toContainText("PENDING");
  const sawCancelling = await lookOut(owner, { selector: ".actions .notice", text: "Cancelling…" });
  const sawUndo = await lookOut(owner, { selector: "[data-undo]" });
  const sawRowTurn = await lookOut(list, { selector: "tbody tr", text: "Cancelling…|Undoing…" });
  const questions: string[] = [];
  owner.on("request", (request) => questions.push(operationOf(request) ?? ""));
  await start(tenant);
  await expect(tenantOn(owner).step("allocate_storage")).toHaveClass(/\bdone\b/);
  await expect(rowOf(list, tenant)).toContainText("PROVISIONING");

  const confirm = await askToCancel(admin, "changed our mind");
  await confirm.click();

  const { text } = await sawCancelling();
  expect(text).toContain("admin@acme.example");
  expect(text).toContain("changed our mind");
  await sawUndo();
  await sawRowTurn();
  await expect(tenantOn(owner).state).toHaveText("PENDING");
  await expect(tenantOn(owner).nothingHeld).toBeVisible();
  // It may still have been beginning to follow.
  expect(questions.filter((name) => name !== "TenantStart")).toEqual([]);
  await expect(rowOf(list, tenant)).toContainText("PENDING");
  await expect(tenantOn(admin).state).toHaveText("PENDING");
  expect(await undoOn(owner)).toEqual(await undoOn(admin));
});

test("whoever confirms second is told who was first, and why", async ({ people }) => {
  const tenant = await create(slugFor("second"), { start: false });
  const address = addressOf(tenant);
  const [owner, admin] = await Promise.all([people.arrive("owner", address), people.arrive("admin", address)]);
  const sending = await Promise.all([owner, admin].map((page) => heldBack(page, "CancelProvisioning")));
  await start(tenant);
  const confirms = await Promise.all([askToCancel(owner, "mine"), askToCancel(admin, "quicker")]);
  await Promise.all(confirms.map((confirm) => confirm.click()));
  for (const page of [owner, admin]) {
    await expect(tenantOn(page).dialog.getByText("Asking it to stop…")).toBeVisible();
  }

  // Both at once: the second comes while the first one's undo goes on.
  for (const { letGo } of sending) letGo();

  const told = (page: Page) => page.getByRole("dialog", { name: "Somebody was first" });
  await expect.poll(async () => (await told(owner).count()) + (await told(admin).count())).toBe(1);
  const second = (await told(owner).count()) === 1 ? owner : admin;
  const first =
    second === owner ? { who: "admin@acme.example", why: "quicker" } : { who: "owner@acme.example", why: "mine" };
  await expect(told(second)).toContainText(first.who);
  await expect(told(second)).toContainText(first.why);
  await told(second).getByRole("button", { name: "Watch the undo" }).click();
  await expect(tenantOn(second).state).toHaveText("PENDING");
  const { cancelRequest, entries } = await truth(tenant);
  expect(cancelRequest).toEqual({ reason: first.why, requestedBy: { displayName: first.who } });
  expect(entries.filter((entry) => entry.kind === "CANCEL_REQUESTED")).toHaveLength(1);
});

function undoOn(page: Page) {
  return marksOf(tenantOn(page).undo, "data-undo");
}

/** What a page sends as this operation waits on the way until it is let go. */
async function heldBack(page: Page, operation: string): Promise<{ letGo: () => void }> {
  let letGo = () => {};
  const gone = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  await page.route("**/graphql", async (route) => {
    if (operationOf(route.request()) === operation) await gone;
    await route.continue();
  });
  return { letGo };
}
