import { create, execute, slugFor, start } from "./product";
import { expect, test } from "./users";

/** The cursor of the tenant's newest entry, as if the database had lost that entry: it has the id of no entry. */
async function lostCursor(tenantId: string): Promise<string> {
  const { auditEvents } = await execute<{ auditEvents: { pageInfo: { startCursor: string } } }>(
    `query Newest($filter: AuditEventFilter) {
      auditEvents(first: 1, filter: $filter) { pageInfo { startCursor } }
    }`,
    { filter: { tenantId } },
  );
  const place: unknown[] = JSON.parse(Buffer.from(auditEvents.pageInfo.startCursor, "base64url").toString());
  place[place.length - 1] = crypto.randomUUID();
  return Buffer.from(JSON.stringify(place)).toString("base64url");
}

test("a feed with an unknown cursor says why, loads the newest entries and follows them", async ({ users }) => {
  const tenant = await create(slugFor("restored"), { start: false });
  const address = new URLSearchParams({ tenant: tenant.id, after: await lostCursor(tenant.id) });
  const page = await users.signedIn("admin", `/dashboard/audit?${address}`);
  await expect(page.getByRole("alert")).toContainText("the database was restored to an earlier time");
  await expect(page.getByRole("button", { name: "Try again" })).toHaveCount(0);

  await page.getByRole("button", { name: "Load the newest entries" }).click();

  const rows = page.locator("tbody tr");
  await expect(rows).toHaveCount(1);
  await expect(page.getByRole("alert")).toHaveCount(0);
  expect([...new URL(page.url()).searchParams]).toEqual([["tenant", tenant.id]]);
  await start(tenant);
  await expect(page.getByRole("row").filter({ hasText: "tenant.provisioning.completed" })).toBeVisible();
  await expect(rows.last()).toContainText("tenant.created");
});
