/** People at browsers of their own. What a browser complains of, or asks of a stranger, fails the test. */

import { type Browser, type BrowserContext, expect, type Page, test as plain } from "@playwright/test";
import { type Person, PRODUCT, tokenOf } from "./product";

export { expect };

/** Where dashboard/shared/identity.ts keeps who somebody is. */
export const KEPT_UNDER = "tenantry.identity";

export class People {
  readonly #browser: Browser;
  readonly #contexts: BrowserContext[] = [];
  readonly #complaints: string[] = [];
  readonly #expected: RegExp[] = [];
  readonly #known = new Set([PRODUCT]);

  constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** Somebody who is signed in already, at an address or still before a blank page. */
  async arrive(person: Person, address?: string): Promise<Page> {
    const page = await this.#seat();
    const identity = JSON.stringify({ token: tokenOf(person), organization: "" });
    await page.addInitScript(
      ([key, value]) => {
        if (!sessionStorage.getItem(key)) sessionStorage.setItem(key, value);
      },
      [KEPT_UNDER, identity] as const,
    );
    if (address) await page.goto(address);
    return page;
  }

  /** Somebody whom nobody knows yet. */
  async stranger(address: string): Promise<Page> {
    const page = await this.#seat();
    await page.goto(address);
    return page;
  }

  /** The test provokes this complaint. */
  tolerate(complaint: RegExp): void {
    this.#expected.push(complaint);
  }

  /** The test sends people to this origin too. */
  befriend(origin: string): void {
    this.#known.add(origin);
  }

  get complaints(): string[] {
    return this.#complaints.filter((complaint) => !this.#expected.some((expected) => expected.test(complaint)));
  }

  async leave(): Promise<void> {
    for (const context of this.#contexts) await context.close();
  }

  async #seat(): Promise<Page> {
    const context = await this.#browser.newContext();
    this.#contexts.push(context);
    const page = await context.newPage();
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.#complaints.push(message.text());
    });
    page.on("pageerror", (error) => this.#complaints.push(error.stack ?? error.message));
    page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (!["data:", "blob:"].includes(protocol) && !this.#known.has(origin)) {
        this.#complaints.push(`asked a stranger: ${request.url()}`);
      }
    });
    return page;
  }
}

export const test = plain.extend<{ people: People }>({
  people: async ({ browser }, use) => {
    const people = new People(browser);
    await use(people);
    await people.leave();
    expect(people.complaints).toEqual([]);
  },
});
