/** The websocket of one page, on a cable that can be cut. */

import type { Page, WebSocketRoute } from "@playwright/test";

/** Service restart, as a proxy says it that goes away (the registry of RFC 6455, section 11.7). */
const GONE = { code: 1012 };

export class Cable {
  /** What was subscribed to over it, in order: the operation and the entry after which it was to begin. */
  readonly subscribed: { name: string; after: string | null }[] = [];
  #whole = true;
  readonly #near = new Set<WebSocketRoute>();

  /** Before the page is opened. */
  static async laidUnder(page: Page): Promise<Cable> {
    const cable = new Cable();
    await page.routeWebSocket(/\/graphql$/, (near) => cable.#join(near));
    return cable;
  }

  /** Nothing gets through any more, until it is mended. */
  async cut(): Promise<void> {
    this.#whole = false;
    await Promise.all([...this.#near].map((near) => near.close(GONE)));
  }

  mend(): void {
    this.#whole = true;
  }

  #note(message: string): void {
    const { type, payload } = JSON.parse(message);
    if (type !== "subscribe") return;
    const [, name = ""] = /subscription (\w+)/.exec(payload.query) ?? [];
    this.subscribed.push({ name, after: payload.variables.after ?? null });
  }

  #join(near: WebSocketRoute): void {
    if (!this.#whole) {
      void near.close(GONE);
      return;
    }
    const far = near.connectToServer();
    near.onMessage((message) => {
      this.#note(String(message));
      far.send(message);
    });
    this.#near.add(near);
    near.onClose(() => {
      this.#near.delete(near);
      void far.close();
    });
    far.onClose(() => void near.close(GONE));
  }
}
