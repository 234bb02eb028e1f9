/** Users, each with a browser of their own. A console error or warning, or a request to another origin, fails the test. */

import { type Browser, type BrowserContext, expect, type Page, test as plain } from "@playwright/test";
import { PRODUCT, tokenOf, type User } from "./product";

export { expect };

/** The key in sessionStorage under which dashboard/shared/identity.ts stores the identity. */
export const IDENTITY_KEY = "tenantry.identity";

export class Users {
  readonly #browser: Browser;
  readonly #contexts: BrowserContext[] = [];
  readonly #problems: string[] = [];
  readonly #expectedMessages: RegExp[] = [];
  readonly #allowedOrigins = new Set([PRODUCT]);

  constructor(browser: Browser) {
    this.#browser = browser;
  }

  /** A page of a signed-in user: at a path, or still blank. */
  async signedIn(user: User, path?: string): Promise<Page> {
    const page = await this.#newPage();
    const identity = JSON.stringify({ token: tokenOf(user), organization: "" });
    await page.addInitScript(
      ([key, value]) => {
        if (!sessionStorage.getItem(key)) sessionStorage.setItem(key, value);
      },
      [IDENTITY_KEY, identity] as const,
    );
    if (path) await page.goto(path);
    return page;
  }

  /** A page of a user who is not signed in. */
  async anonymous(path: string): Promise<Page> {
    const page = await this.#newPage();
    await page.goto(path);
    return page;
  }

  /** The test provokes this console message. */
  allowConsoleMessage(message: RegExp): void {
    this.#expectedMessages.push(message);
  }

  /** The test sends browsers to this origin too. */
  allowOrigin(origin: string): void {
    this.#allowedOrigins.add(origin);
  }

  get problems(): string[] {
    return this.#problems.filter((problem) => !this.#expectedMessages.some((expected) => expected.test(problem)));
  }

  async close(): Promise<void> {
    for (const context of this.#contexts) await context.close();
  }

  async #newPage(): Promise<Page> {
    const context = await this.#browser.newContext();
    this.#contexts.push(context);
    const page = await context.newPage();
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.#problems.push(message.text());
    });
    page.on("pageerror", (error) => this.#problems.push(error.stack ?? error.message));
    page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (!["data:", "blob:"].includes(protocol) && !this.#allowedOrigins.has(origin)) {
        this.#problems.push(`request to another origin: ${request.url()}`);
      }
    });
    return page;
  }
}

export const test = plain.extend<{ users: Users }>({
  users: async ({ browser }, use) => {
    const users = new Users(browser);
    await use(users);
    await users.close();
    expect(users.problems).toEqual([]);
  },
});
