import { attributesOf, connectionStatusOn, LIST, pathOf, rowOf, tenantOn } from "./page-objects";
import { create, fetchTenant, newestSequence, slugFor, start } from "./product";
import { expect, test } from "./users";
import { WebSocketProxy } from "./websocket-proxy";

const LOST = /Connection lost/;

// A reconnect fetches the page again, which costs points of the user's budget: this user shares it with few other tests.
const AS = { as: "globex" } as const;

test("a connection that is cut three times leaves no gap in the history, and repeats no entry", async ({ users }) => {
  const tenant = await create(slugFor("cut"), { start: false, ...AS });
  const page = await users.signedIn("globex");
  const proxy = await WebSocketProxy.install(page);
  await page.goto(pathOf(tenant));
  const { state, entries } = tenantOn(page);
  await expect(connectionStatusOn(page)).toHaveText("Live");
  // The page gets no further than this step, however far the run is already.
  proxy.pauseAfter(successOf("allocate_storage"));
  await start(tenant, "globex");

  for (const next of ["allocate_traffic", "deploy_workloads"]) {
    await expect.poll(() => proxy.paused).toBe(true);
    const { sequence } = JSON.parse(proxy.lastDelivered).payload.data.tenantProvisioning;
    await proxy.cut();
    await expect(connectionStatusOn(page)).toHaveText(LOST);
    await expect.poll(() => newestSequence(tenant, "globex")).toBeGreaterThan(sequence + 1);
    proxy.pauseAfter(successOf(next));
    proxy.restore();
  }
  await expect.poll(() => proxy.paused).toBe(true);
  await proxy.cut();
  proxy.restore();

  await expect(state).toHaveText("ACTIVE");
  await expect(connectionStatusOn(page)).toHaveText("Live");
  await expect.poll(async () => (await fetchTenant(tenant, "globex")).entries.at(-1)?.kind).toBe("RUN_FINISHED");
  const stored = (await fetchTenant(tenant, "globex")).entries.map((entry) => entry.sequence);
  await expect.poll(async () => (await attributesOf(entries, "data-sequence")).map(Number)).toEqual(stored);
  expect(stored).toEqual(stored.map((_, index) => (stored[0] ?? 0) + index));
  // Each subscription resumed where the one before ended, never at an earlier entry.
  const cursors = proxy.subscriptions.filter(({ name }) => name === "TenantProvisioning").map(({ after }) => after);
  expect(cursors.length).toBeGreaterThan(3);
  expect(new Set(cursors).size).toBeGreaterThan(2);
  expect(cursors.filter((after, at) => after !== cursors[at - 1] && cursors.indexOf(after) < at)).toEqual([]);
});

test("a list that was disconnected shows what happened meanwhile", async ({ users }) => {
  const base = slugFor("missed");
  const first = await create(`${base}-a`, { start: false, ...AS });
  const page = await users.signedIn("globex");
  const proxy = await WebSocketProxy.install(page);
  await page.goto(`${LIST}?slug=${base}`);
  await expect(rowOf(page, first)).toContainText("PENDING");
  await expect(connectionStatusOn(page)).toHaveText("Live");

  await proxy.cut();
  await expect(connectionStatusOn(page)).toHaveText(LOST);
  const second = await create(`${base}-b`, { start: false, ...AS });
  await expect(rowOf(page, second)).toHaveCount(0);
  proxy.restore();

  await expect(rowOf(page, second)).toContainText("PENDING");
  await expect(connectionStatusOn(page)).toHaveText("Live");
});

/** The message that delivers the success of a step: the entry's own fields come before those of its run. */
function successOf(step: string): RegExp {
  return new RegExp(`"tenantProvisioning": ?\\{[^{]*"kind": ?"STEP_SUCCEEDED"[^{]*"step": ?"${step}"`);
}
