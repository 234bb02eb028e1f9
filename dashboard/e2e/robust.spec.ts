/** What browsers and people do: a new tab, refused storage, small screens, unknown addresses, a system that turns dark. */

import type { Locator, Page } from "@playwright/test";
import { LIST, pathOf, rowOf, tenantOn } from "./page-objects";
import { command, create, slugFor, start, tokenOf, whileWorkersPause } from "./product";
import { expect, test } from "./users";

const PHONE = { width: 360, height: 640 };

test("a new tab stays signed in, of GraphiQL too, and a sign-out ends the session in all tabs", async ({ users }) => {
  const first = await users.anonymous(LIST);
  await first.getByRole("form", { name: "Paste a token" }).getByLabel("Token").fill(tokenOf("viewer"));
  await first.getByRole("button", { name: "Sign in" }).click();
  await expect(first.getByRole("heading", { name: "Tenants" })).toBeVisible();

  const second = await first.context().newPage();
  await second.goto("/dashboard/audit");
  await expect(second.getByRole("heading", { name: "Audit feed" })).toBeVisible();
  const third = await first.context().newPage();
  await third.goto("/graphql");
  await expect(third.locator(".graphiql-container")).toBeVisible();
  // GraphiQL stores its tabs there; the token is never kept.
  expect(await second.evaluate(() => JSON.stringify({ ...localStorage }))).not.toContain(tokenOf("viewer"));

  await second.getByRole("button", { name: "Sign out" }).click();
  await expect(first.getByText("You signed out in another tab.")).toBeVisible();
  await expect(third.locator(".graphiql-container")).toHaveCount(0);
});

test("where the browser refuses storage and channels, a user can sign in, work, and use GraphiQL", async ({
  users,
}) => {
  const page = await users.anonymous("about:blank");
  await page.addInitScript(() => {
    const refuse = () => {
      throw new DOMException("Access is denied for this document.", "SecurityError");
    };
    for (const name of ["localStorage", "sessionStorage"]) Object.defineProperty(window, name, { get: refuse });
    Object.defineProperty(window, "BroadcastChannel", { value: refuse });
  });
  await page.goto(LIST);

  await page.getByRole("form", { name: "Paste a token" }).getByLabel("Token").fill(tokenOf("viewer"));
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();
  await page.getByRole("link", { name: "Audit feed" }).click();
  await expect(page.getByRole("heading", { name: "Audit feed" })).toBeVisible();

  await page.goto("/graphql");
  await page.getByLabel("Token").fill(tokenOf("viewer"));
  await page.getByRole("button", { name: "Use token" }).click();
  await expect(page.locator(".graphiql-container")).toBeVisible();
});

test("an unknown address is called no page, and leads back to the list", async ({ users }) => {
  users.allowConsoleMessage(/status of 404/);
  const page = await users.signedIn("viewer", "/dashboard/nonsense");

  await expect(page.getByRole("heading", { name: "No such page" })).toBeVisible();
  await page.getByRole("link", { name: "All tenants" }).click();
  await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();
});

test("a page without its script says so, and the other pages can still be opened", async ({ users }) => {
  users.allowConsoleMessage(/ERR_FAILED|dynamically imported module/);
  const page = await users.signedIn("owner", LIST);
  await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();
  // As after a new release, which has other files.
  await page.route(/\/assets\/page-.*\.js$/, (route) => route.abort());

  await page.getByRole("link", { name: "People" }).click();
  await expect(page.getByRole("alert")).toContainText("This page cannot be shown");
  await page.getByRole("link", { name: "Tenants", exact: true }).click();
  await expect(page.getByRole("heading", { name: "Tenants" })).toBeVisible();
});

test("on a phone every dialog shows its buttons, and its content scrolls", async ({ users }) => {
  const tenant = await create(slugFor("small"), { start: false });
  const page = await users.signedIn("owner", pathOf(tenant));
  await page.setViewportSize(PHONE);
  const { state, step, action, dialog } = tenantOn(page);
  await expect(state).toHaveText("PENDING");
  await action("Edit…").click();
  const edit = page.getByRole("dialog");
  await expectInView(edit.getByRole("button", { name: "Save" }));
  await edit.getByRole("button", { name: "Close" }).click();

  await start(tenant);
  await expect(step("allocate_traffic")).toHaveClass(/\bdone\b/);
  await whileWorkersPause(async () => {
    await action("Cancel provisioning").click();
    for (const name of ["Keep provisioning", "Cancel provisioning"]) {
      await expectInView(dialog.getByRole("button", { name }));
    }
    // The field that has the focus is not behind the buttons.
    await dialog.getByLabel("Reason").focus();
    const [field, buttons] = await Promise.all([boxOf(dialog.getByLabel("Reason")), boxOf(dialog.locator(".choices"))]);
    expect(field.y + field.height).toBeLessThanOrEqual(buttons.y + 1);
    await dialog.getByRole("button", { name: "Keep provisioning" }).click();
  });

  await page.goto(LIST);
  await page.getByRole("button", { name: "Create tenant" }).click();
  await expectInView(page.getByRole("dialog").getByRole("button", { name: "Create", exact: true }));
});

test("no column of a table is too narrow to be read, on a phone or beside another column", async ({ users }) => {
  const tenant = await create(`${slugFor("long-enough-to-be-cut")}-x`);
  const page = await users.signedIn("owner", pathOf(tenant));
  await expect(tenantOn(page).state).toHaveText("ACTIVE");
  await command("cancelProvisioning", "CancelProvisioningInput", { tenantId: tenant.id });
  for (const path of [pathOf(tenant), LIST, "/dashboard/audit", "/dashboard/people"]) {
    await page.goto(path);
    await expect(page.locator("tbody tr").first()).toBeVisible();
    for (const width of [360, 1024]) {
      await page.setViewportSize({ width, height: 800 });
      expect(await brokenWordsOn(page), `${path} at ${width} pixels`).toEqual([]);
    }
  }
  await page.goto(LIST);
  await expect(rowOf(page, tenant)).toBeVisible();
});

test("the sign of a running step turns in its place", async ({ users }) => {
  const tenant = await create(slugFor("turning"), { start: false });
  const page = await users.signedIn("viewer", pathOf(tenant));
  await expect(tenantOn(page).state).toHaveText("PENDING");
  await start(tenant);
  await expect(tenantOn(page).step("allocate_storage")).toHaveClass(/\brunning\b/);

  await whileWorkersPause(async () => {
    const line = page.locator("[data-step].running");
    const centres = await line.locator(".glyph").evaluate((glyph) => {
      const [turning] = glyph.getAnimations();
      if (!turning) throw new Error("The sign does not turn.");
      turning.pause();
      return [0, 200, 375, 500, 750, 1000, 1125, 1300].map((time) => {
        turning.currentTime = time;
        const { x, y, width, height, right } = glyph.getBoundingClientRect();
        return { x: x + width / 2, y: y + height / 2, right };
      });
    });

    const [first] = centres;
    for (const { x, y } of centres) {
      expect(Math.hypot(x - (first?.x ?? 0), y - (first?.y ?? 0))).toBeLessThan(0.5);
    }
    const title = await boxOf(line.locator(".title"));
    expect(Math.max(...centres.map(({ right }) => right))).toBeLessThanOrEqual(title.x);
  });
});

test("GraphiQL follows the system when it turns dark, its editor too", async ({ users }) => {
  const page = await users.signedIn("owner");
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto("/graphql");
  const editor = page.locator(".graphiql-query-editor .monaco-editor").first();
  await expect(editor).toBeVisible();
  const contrasts = () => editor.evaluate(contrastsIn);
  await expect.poll(contrasts).toBeGreaterThan(3);

  await page.emulateMedia({ colorScheme: "dark" });
  await expect
    .poll(() => editor.evaluate((one) => one.classList.contains("vs-dark") || /dark/i.test(one.className)))
    .toBe(true);
  await expect.poll(contrasts).toBeGreaterThan(3);

  await page.emulateMedia({ colorScheme: "light" });
  await expect.poll(contrasts).toBeGreaterThan(3);
});

async function expectInView(target: Locator): Promise<void> {
  await expect(target).toBeInViewport({ ratio: 1 });
}

async function boxOf(target: Locator) {
  const box = await target.boundingBox();
  if (!box) throw new Error("The element is not visible.");
  return box;
}

/** The words in table cells that are broken into pieces of fewer than eight letters; a hyphen ends a word. */
function brokenWordsOn(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const broken: string[] = [];
    for (const cell of document.querySelectorAll("td, th")) {
      const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        const text = walker.currentNode as Text;
        // Details that are folded have a layout, too.
        if (!text.parentElement?.checkVisibility({ contentVisibilityAuto: true })) continue;
        for (const { index, 0: word } of text.data.matchAll(/[^\s-]{9,}/g)) {
          const range = document.createRange();
          range.setStart(text, index);
          range.setEnd(text, index + word.length);
          const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size;
          if (lines > 1 && word.length / lines < 8) broken.push(word);
        }
      }
    }
    return broken;
  });
}

/** The least contrast of a text in the editor with the background behind it. */
function contrastsIn(editor: Element): number {
  const luminance = (colour: string) => {
    const [red = 0, green = 0, blue = 0] = (colour.match(/[\d.]+/g) ?? []).slice(0, 3).map((value) => {
      const part = Number(value) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const opaque = (colour: string) => !/, 0\)$|transparent/.test(colour);
  const backgroundOf = (element: Element | null): string => {
    for (let one = element; one; one = one.parentElement) {
      const { backgroundColor } = getComputedStyle(one);
      if (opaque(backgroundColor)) return backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const contrasts = [...editor.querySelectorAll(".view-line span span")].map((text) => {
    const [one, other] = [luminance(getComputedStyle(text).color), luminance(backgroundOf(text))];
    return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  });
  return contrasts.length > 0 ? Math.min(...contrasts) : 0;
}
