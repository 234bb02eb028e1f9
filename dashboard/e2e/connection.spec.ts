import { Cable } from "./cable";
import { expect, test } from "./people";
import { create, newest, slugFor, truth } from "./product";
import { addressOf, LIST, linkOn, marksOf, rowOf, tenantOn } from "./screen";

const LOST = /Connection lost/;

// Whoever comes back asks anew, which is paid for out of the caller's budget: nobody else is the owner of globex.
const AS = { as: "globex" } as const;

test("a connection that is cut again and again leaves no gap in the history, and nothing twice", async ({ people }) => {
  const tenant = await create(slugFor("cut"), AS);
  const page = await people.arrive("globex");
  const cable = await Cable.laidUnder(page);
  await page.goto(addressOf(tenant));
  const { state, step, entries } = tenantOn(page);
  await expect(linkOn(page)).toHaveText("Live");

  for (const name of ["allocate_storage", "allocate_traffic"]) {
    await expect(step(name)).toHaveClass(/\bdone\b/);
    const seen = await newest(tenant, "globex");
    await cable.cut();
    await expect(linkOn(page)).toHaveText(LOST);
    await expect.poll(() => newest(tenant, "globex")).toBeGreaterThan(seen + 1);
    cable.mend();
    await expect(linkOn(page)).toHaveText("Live");
  }
  await expect(step("deploy_workloads")).toHaveClass(/\b(running|done)\b/);
  await cable.cut();
  cable.mend();

  await expect(state).toHaveText("ACTIVE");
  await expect(linkOn(page)).toHaveText("Live");
  const told = (await truth(tenant, "globex")).entries.map((entry) => entry.sequence);
  await expect.poll(async () => (await marksOf(entries, "data-sequence")).map(Number)).toEqual(told);
  expect(told).toEqual(told.map((_, place) => (told[0] ?? 0) + place));
  // It went on from where it was, never from an earlier place: nothing was told again.
  const places = cable.subscribed.filter(({ name }) => name === "TenantProvisioning").map(({ after }) => after);
  expect(places.length).toBeGreaterThan(3);
  expect(new Set(places).size).toBeGreaterThan(2);
  expect(places.filter((place, at) => place !== places[at - 1] && places.indexOf(place) < at)).toEqual([]);
});

test("a list that was cut off shows what happened meanwhile", async ({ people }) => {
  const base = slugFor("unheard");
  const first = await create(`${base}-a`, { start: false, ...AS });
  const page = await people.arrive("globex");
  const cable = await Cable.laidUnder(page);
  await page.goto(`${LIST}?slug=${base}`);
  await expect(rowOf(page, first)).toContainText("PENDING");
  await expect(linkOn(page)).toHaveText("Live");

  await cable.cut();
  await expect(linkOn(page)).toHaveText(LOST);
  const second = await create(`${base}-b`, { start: false, ...AS });
  await expect(rowOf(page, second)).toHaveCount(0);
  cable.mend();

  await expect(rowOf(page, second)).toContainText("PENDING");
  await expect(linkOn(page)).toHaveText("Live");
});
