import type { Locator, TestInfo } from "@playwright/test";
import { expect, test } from "./people";
import { create, slugFor } from "./product";
import { fromClickTo, LIST, marksOf, stepsThatAre, tenantOn } from "./screen";

test("a tenant lives its whole life on the dashboard, and each step of it is seen", async ({ people }, info) => {
  const { slug: taken } = await create(slugFor("taken"), { start: false });
  const slug = slugFor("story");
  const page = await people.arrive("owner", LIST);
  const { state, step, steps, undo, notice, action, dialog, confirm, nothingHeld } = tenantOn(page);

  await test.step("a slug is checked while it is typed", async () => {
    await page.getByRole("button", { name: "Create tenant" }).click();
    const form = page.getByRole("dialog", { name: "Create a tenant" });
    await slugIn(form).fill(taken);
    await expect(form).toContainText(`'${taken}' is taken by another tenant.`);
    await slugIn(form).fill(slug);
    await expect(form).toContainText(`Free. The tenant will be at http://${slug}-acme.`);
    await form.getByLabel("First administrator").fill("ada@example.com");
  });

  await test.step("the first step is seen within a second of the click", async () => {
    const click = page.getByRole("button", { name: "Create", exact: true });
    const took = await fromClickTo(click, { selector: "[data-step].running, [data-step].done" });
    note(info, "from the click on Create to the first step", took);
    expect(took).toBeLessThan(1000);
  });

  await test.step("the steps fill in, one after the other", async () => {
    await expect(state).toHaveText("PROVISIONING");
    await expect(step("allocate_storage")).toHaveClass(/\bdone\b/);
    await expect(step("allocate_traffic")).toHaveClass(/\brunning\b/);
    expect(await steps.count()).toBeGreaterThan(7);
  });

  await test.step("the dialog shows what a cancel would release, last taken first", async () => {
    await action("Cancel provisioning").click();
    await dialog.getByLabel("Reason").fill("wrong region");
    const releases = (await dialog.getByRole("listitem").allInnerTexts()).join("\n");
    expect(releases).toMatch(/signing key[\s\S]*postgres schema/);
  });

  await test.step("“Cancelling…” is seen within 200 ms of the click", async () => {
    const took = await fromClickTo(confirm("Cancel provisioning"), {
      selector: ".actions .notice",
      text: "Cancelling…",
    });
    note(info, "from the click on confirm to “Cancelling…”", took);
    expect(took).toBeLessThan(200);
  });

  await test.step("the undo runs backward, and nothing is held", async () => {
    await expect(state).toHaveText("PENDING");
    await expect(nothingHeld).toBeVisible();
    await expect(notice).toHaveCount(0);
    await expect(page.locator('[data-kind="RUN_FINISHED"]')).toHaveCount(1);
    const undone = await stepsThatAre(page, "compensated");
    expect(undone).toContain("allocate_storage");
    expect(await marksOf(undo, "data-undo")).toEqual(undone.toReversed());
    await expect(page.locator('[data-kind="COMPENSATION_STARTED"]')).toHaveCount(undone.length);
  });

  await test.step("the outside itself was asked again, and says the same", async () => {
    const proof = page.getByRole("region", { name: "Asked again outside" });
    await expect(proof).toContainText("nothing is there");
    await expect(nothingHeld).toBeVisible();
  });

  await test.step("a retry goes through, and both runs stand side by side", async () => {
    await action("Retry provisioning").click();
    await expect(state).toHaveText("ACTIVE");
    await expect(page.getByRole("link", { name: `http://${slug}-acme.` })).toBeVisible();
    const runs = page.getByRole("region", { name: "Runs side by side" }).getByRole("columnheader");
    await expect(runs).toHaveText([/^Step$/, /^Run 2 Succeeded/, /^Run 1 Cancelled/]);
  });

  await test.step("it is suspended for a reason, and resumed", async () => {
    await action("Suspend…").click();
    await dialog.getByLabel("Reason").fill("the invoice is open");
    await confirm("Suspend").click();
    await expect(state).toHaveText("SUSPENDED");
    await action("Resume").click();
    await expect(state).toHaveText("ACTIVE");
  });

  await test.step("it is decommissioned by whoever types its slug, and could be made again", async () => {
    await action("Decommission…").click();
    const typed = dialog.getByLabel(`Type ${slug} to confirm`);
    await expect(confirm("Decommission")).toBeDisabled();
    await typed.fill(slug.slice(1));
    await expect(confirm("Decommission")).toBeDisabled();
    await typed.fill(slug);
    await confirm("Decommission").click();
    await expect(state).toHaveText("DECOMMISSIONED");
    await expect(nothingHeld).toBeVisible();
    await expect(action("Recreate")).toBeVisible();
  });
});

function slugIn(form: Locator): Locator {
  return form.getByLabel("Slug", { exact: true });
}

/** A figure for whoever reads the report. */
function note({ annotations }: TestInfo, what: string, milliseconds: number): void {
  annotations.push({ type: "measured", description: `${what}: ${milliseconds} ms` });
  console.log(`    ${what}: ${milliseconds} ms`);
}
