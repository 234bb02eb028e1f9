/** A proxy for the websocket of one page, which can hold back messages and cut the connection. */

import type { Page, WebSocketRoute } from "@playwright/test";

/** "Service restart", the close code of a proxy that goes away (the registry of RFC 6455, section 11.7). */
const SERVICE_RESTART = { code: 1012 };

interface Subscription {
  name: string;
  after: string | null;
}

export class WebSocketProxy {
  /** The subscriptions that the page started, in order: the operation, and the cursor after which it was to begin. */
  readonly subscriptions: Subscription[] = [];
  /** The last message that was delivered to the page. */
  lastDelivered = "";
  readonly #connections = new Set<WebSocketRoute>();
  /** Messages to the page that wait while the proxy is paused. */
  readonly #held: (() => void)[] = [];
  #open = true;
  #pauseAfter: RegExp | undefined;
  #paused = false;

  /** To be called before the page is opened. */
  static async install(page: Page): Promise<WebSocketProxy> {
    const proxy = new WebSocketProxy();
    await page.routeWebSocket(/\/graphql$/, (client) => proxy.#connect(client));
    return proxy;
  }

  /** Deliver the first message to the page that matches, and hold back all that follow. */
  pauseAfter(message: RegExp): void {
    this.#pauseAfter = message;
  }

  /** Whether the message was delivered for which the proxy was to pause. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Deliver the messages that were held back, and all that follow. */
  resume(): void {
    this.#pauseAfter = undefined;
    this.#paused = false;
    for (const deliver of this.#held.splice(0)) deliver();
  }

  /** Close the connection and refuse new ones until `restore`. Messages that were held back are lost. */
  async cut(): Promise<void> {
    this.#open = false;
    this.#held.length = 0;
    this.#pauseAfter = undefined;
    await Promise.all([...this.#connections].map((client) => client.close(SERVICE_RESTART)));
    this.#paused = false;
  }

  restore(): void {
    this.#open = true;
  }

  #connect(client: WebSocketRoute): void {
    if (!this.#open) {
      void client.close(SERVICE_RESTART);
      return;
    }
    const server = client.connectToServer();
    client.onMessage((message) => {
      this.#record(String(message));
      server.send(message);
    });
    server.onMessage((message) => {
      if (!this.#connections.has(client)) return;
      if (this.#paused) this.#held.push(() => client.send(message));
      else this.#deliver(client, String(message));
    });
    this.#connections.add(client);
    client.onClose(() => {
      this.#connections.delete(client);
      void server.close();
    });
    server.onClose(() => void client.close(SERVICE_RESTART));
  }

  #record(message: string): void {
    const { type, payload } = JSON.parse(message);
    if (type !== "subscribe") return;
    const [, name = ""] = /subscription (\w+)/.exec(payload.query) ?? [];
    this.subscriptions.push({ name, after: payload.variables.after ?? null });
  }

  #deliver(client: WebSocketRoute, message: string): void {
    client.send(message);
    this.lastDelivered = message;
    this.#paused = this.#pauseAfter?.test(message) ?? false;
  }
}
