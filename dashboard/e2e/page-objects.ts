/** The elements of the pages, and the actions of users on them. */

import { expect, type Locator, type Page, type Request } from "@playwright/test";
import type { Tenant } from "./product";

export const LIST = "/dashboard/tenants";

export function pathOf(tenant: Tenant): string {
  return `${LIST}/${tenant.databaseId}`;
}

/** The elements of the page of one tenant. */
export function tenantOn(page: Page) {
  return {
    state: page.locator(".page-head [data-state] .badge"),
    /** Shown while the run is cancelled, undone or stuck. */
    runStatus: page.locator(".page-head [data-run]"),
    /** In the head of the page: what failed and why. */
    failure: page.locator(".failure"),
    steps: page.locator("[data-step]"),
    step: (name: string) => page.locator(`[data-step="${name}"]`),
    undo: page.locator("[data-undo]"),
    entries: page.locator("[data-sequence]"),
    /** The notice above the buttons about a cancellation or a stuck undo. */
    notice: page.locator(".actions .notice"),
    actions: page.locator(".actions").getByRole("button"),
    action: (name: string) => page.locator(".actions").getByRole("button", { name, exact: true }),
    dialog: page.getByRole("alertdialog"),
    confirm: (name: string) => page.getByRole("alertdialog").getByRole("button", { name, exact: true }),
    nothingHeld: page.locator(".nothing-held"),
    leftBehind: page.locator(".left-behind"),
  };
}

/** The status of the page's live connection. */
export function connectionStatusOn(page: Page): Locator {
  return page.locator(".shell .connection");
}

/** The row of one tenant in the list. */
export function rowOf(page: Page, tenant: Tenant): Locator {
  return page.locator("tbody tr", { has: page.locator(`a[href$="/${tenant.databaseId}"]`) });
}

export function attributesOf(elements: Locator, name: string): Promise<(string | null)[]> {
  return elements.evaluateAll((found, attribute) => found.map((one) => one.getAttribute(attribute)), name);
}

/** The names of the steps with this status, in the order of the timeline. */
export function stepsWithStatus(page: Page, status: string): Promise<(string | null)[]> {
  return attributesOf(page.locator(`[data-step].${status}`), "data-step");
}

/** Open the cancel dialog and enter the reason; the result is the button that confirms. */
export async function fillCancelDialog(page: Page, reason: string): Promise<Locator> {
  const { action, dialog, confirm } = tenantOn(page);
  await action("Cancel provisioning").click();
  await dialog.getByLabel("Reason").fill(reason);
  return confirm("Cancel provisioning");
}

/** The GraphQL operation of a request to the API. */
export function operationOf(request: Request): string | undefined {
  if (!request.url().endsWith("/graphql") || request.method() !== "POST") return undefined;
  return (request.postDataJSON() as { operationName?: string }).operationName;
}

export interface Target {
  selector: string;
  /** A regular expression that the element's text has to match. */
  text?: string;
}

export interface Sighting {
  text: string;
  /** Milliseconds by the page's own clock, when the element was about to be painted. */
  at: number;
}

/**
 * Start to watch for an element, inside the page; the returned function waits until it appeared. This also finds what is
 * there for one frame only, whereas an `expect` asks once a second and can miss a temporary state.
 */
export async function watchFor(page: Page, target: Target): Promise<() => Promise<Sighting>> {
  const watching = await page.evaluateHandle(({ selector, text = "" }) => {
    const pattern = new RegExp(text);
    const seen = new Promise<Sighting>((resolve) => {
      const observer = new MutationObserver(check);
      function check() {
        const found = [...document.querySelectorAll(selector)].find((one) => pattern.test(one.textContent ?? ""));
        if (!found) return;
        observer.disconnect();
        const content = found.textContent ?? "";
        requestAnimationFrame(() => resolve({ text: content, at: performance.now() }));
      }
      observer.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
      check();
    });
    return { seen };
  }, target);
  return () => watching.evaluate(({ seen }) => seen);
}

/** Milliseconds from a click until each of the elements appears, all by the page's own clock. */
export async function timesFromClick<T extends Target[]>(
  button: Locator,
  ...targets: T
): Promise<{ [Index in keyof T]: number }> {
  const page = button.page();
  const clicked = await page.evaluateHandle(() => {
    const at = new Promise<number>((resolve) => {
      document.addEventListener("click", (event) => resolve(event.timeStamp), { capture: true, once: true });
    });
    return { at };
  });
  const seen = await Promise.all(targets.map((target) => watchFor(page, target)));
  await button.click();
  const sightings = await Promise.all(seen.map((until) => until()));
  const start = await clicked.evaluate((click) => click.at);
  return sightings.map(({ at }) => Math.round(at - start)) as { [Index in keyof T]: number };
}

/** Move the keyboard focus to an element with the Tab key alone. */
export async function tabTo(target: Locator): Promise<void> {
  const { keyboard } = target.page();
  for (let presses = 0; presses < 60; presses += 1) {
    if (await target.evaluate((one) => one === document.activeElement)) return;
    await keyboard.press("Tab");
  }
  await expect(target).toBeFocused({ timeout: 1 });
}
