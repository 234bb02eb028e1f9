/** The state of the websocket: one value that pages show, and by which they refetch after it was lost. */

import { useSyncExternalStore } from "react";

export interface ConnectionStatus {
  /** `idle` while there is no subscription. */
  state: "idle" | "connecting" | "live" | "lost";
  /** How often a lost connection was established again; data without a subscription is refetched then. */
  reconnects: number;
}

export class ConnectionStore {
  #status: ConnectionStatus = { state: "idle", reconnects: 0 };
  readonly #listeners = new Set<() => void>();

  readonly read = (): ConnectionStatus => this.#status;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  connecting(isRetry: boolean): void {
    const lost = isRetry || this.#status.state === "lost";
    this.#set({ ...this.#status, state: lost ? "lost" : "connecting" });
  }

  connected(): void {
    const reconnects = this.#status.reconnects + (this.#status.state === "lost" ? 1 : 0);
    this.#set({ state: "live", reconnects });
  }

  /** Code 1000: this client closed the connection after its last subscription ended (RFC 6455, section 7.4.1). */
  closed(code: number): void {
    this.#set({ ...this.#status, state: code === 1000 ? "idle" : "lost" });
  }

  #set(status: ConnectionStatus): void {
    this.#status = status;
    for (const listener of this.#listeners) listener();
  }
}

export function useStatusOf(store: ConnectionStore): ConnectionStatus {
  return useSyncExternalStore(store.subscribe, store.read);
}
