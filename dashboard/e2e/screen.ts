/** The pages as a person sees them, by what they show and by the marks that their lines carry. */

import { expect, type Locator, type Page, type Request } from "@playwright/test";
import type { Tenant } from "./product";

export const LIST = "/dashboard/tenants";

export function addressOf(tenant: Tenant): string {
  return `${LIST}/${tenant.databaseId}`;
}

/** What is where on the page of one tenant. */
export function tenantOn(page: Page) {
  return {
    state: page.locator(".page-head .badge"),
    steps: page.locator("[data-step]"),
    step: (name: string) => page.locator(`[data-step="${name}"]`),
    undo: page.locator("[data-undo]"),
    entries: page.locator("[data-sequence]"),
    /** What is being done, above the buttons. */
    notice: page.locator(".actions .notice"),
    actions: page.locator(".actions").getByRole("button"),
    action: (name: string) => page.locator(".actions").getByRole("button", { name, exact: true }),
    dialog: page.getByRole("alertdialog"),
    confirm: (name: string) => page.getByRole("alertdialog").getByRole("button", { name, exact: true }),
    nothingHeld: page.locator(".nothing-held"),
  };
}

/** Whether what is shown is live. */
export function linkOn(page: Page): Locator {
  return page.locator(".shell .link");
}

/** The line of one tenant in the list. */
export function rowOf(page: Page, tenant: Tenant): Locator {
  return page.locator("tbody tr", { has: page.locator(`a[href$="/${tenant.databaseId}"]`) });
}

export function marksOf(lines: Locator, mark: string): Promise<(string | null)[]> {
  return lines.evaluateAll((found, name) => found.map((line) => line.getAttribute(name)), mark);
}

/** What of the timeline has this status, in running order. */
export function stepsThatAre(page: Page, status: string): Promise<(string | null)[]> {
  return marksOf(page.locator(`[data-step].${status}`), "data-step");
}

/** Open the dialog, say why, and go as far as the button that does it. */
export async function askToCancel(page: Page, reason: string): Promise<Locator> {
  const { action, dialog, confirm } = tenantOn(page);
  await action("Cancel provisioning").click();
  await dialog.getByLabel("Reason").fill(reason);
  return confirm("Cancel provisioning");
}

/** Which operation a request to the API carries. */
export function operationOf(request: Request): string | undefined {
  if (!request.url().endsWith("/graphql") || request.method() !== "POST") return undefined;
  return (request.postDataJSON() as { operationName?: string }).operationName;
}

export interface Sign {
  selector: string;
  /** A regular expression that its text matches. */
  text?: string;
}

export interface Sighting {
  text: string;
  /** By the page's own clock, when it was about to be painted. */
  at: number;
}

/** Have the page itself look out for something from now on: it sees also what is there for one frame only. */
export async function lookOut(page: Page, sign: Sign): Promise<() => Promise<Sighting>> {
  const looking = await page.evaluateHandle(({ selector, text = "" }) => {
    const pattern = new RegExp(text);
    const seen = new Promise<Sighting>((resolve) => {
      const watcher = new MutationObserver(look);
      function look() {
        const found = [...document.querySelectorAll(selector)].find((one) => pattern.test(one.textContent ?? ""));
        if (!found) return;
        watcher.disconnect();
        const words = found.textContent ?? "";
        requestAnimationFrame(() => resolve({ text: words, at: performance.now() }));
      }
      watcher.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
      look();
    });
    return { seen };
  }, sign);
  return () => looking.evaluate(({ seen }) => seen);
}

/** Milliseconds from a click until something is on the screen, both by the page's own clock. */
export async function fromClickTo(button: Locator, sign: Sign): Promise<number> {
  const page = button.page();
  const clicked = await page.evaluateHandle(() => {
    const at = new Promise<number>((resolve) => {
      document.addEventListener("click", (event) => resolve(event.timeStamp), { capture: true, once: true });
    });
    return { at };
  });
  const seen = await lookOut(page, sign);
  await button.click();
  const { at } = await seen();
  return Math.round(at - (await clicked.evaluate((click) => click.at)));
}

/** Go there by the Tab key alone. */
export async function tabTo(target: Locator): Promise<void> {
  const { keyboard } = target.page();
  for (let presses = 0; presses < 60; presses += 1) {
    if (await target.evaluate((one) => one === document.activeElement)) return;
    await keyboard.press("Tab");
  }
  await expect(target).toBeFocused({ timeout: 1 });
}
