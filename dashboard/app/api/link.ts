/** How the websocket is doing: one value that pages show, and heal by when it was lost. */

import { useSyncExternalStore } from "react";

export interface Link {
  /** `idle` when nobody subscribes. */
  state: "idle" | "connecting" | "live" | "lost";
  /** How often it came back: what is not told by a subscription is to be asked for again then. */
  regained: number;
}

export class LinkStore {
  #link: Link = { state: "idle", regained: 0 };
  readonly #followers = new Set<() => void>();

  readonly read = (): Link => this.#link;

  readonly follow = (tell: () => void): (() => void) => {
    this.#followers.add(tell);
    return () => this.#followers.delete(tell);
  };

  connecting(again: boolean): void {
    const lost = again || this.#link.state === "lost";
    this.#become({ ...this.#link, state: lost ? "lost" : "connecting" });
  }

  connected(): void {
    const regained = this.#link.regained + (this.#link.state === "lost" ? 1 : 0);
    this.#become({ state: "live", regained });
  }

  /** Code 1000 is our own end, when the last subscription is gone (RFC 6455, section 7.4.1). */
  closed(code: number): void {
    this.#become({ ...this.#link, state: code === 1000 ? "idle" : "lost" });
  }

  #become(link: Link): void {
    this.#link = link;
    for (const tell of this.#followers) tell();
  }
}

export function useLinkOf(store: LinkStore): Link {
  return useSyncExternalStore(store.follow, store.read);
}
