/** The websocket of the signed-in user: opened with the first subscription, reopened whenever it is lost. */

import { createClient, type Client as Socket } from "graphql-ws";
import { connectionParamsOf, type Identity } from "../../shared/identity";
import type { ConnectionStore } from "./connection-status";

// All in milliseconds.
const FIRST_DELAY = 250;
const LONGEST_DELAY = 5000;
const PING_INTERVAL = 10_000;
const PONG_TIMEOUT = 5000;
const ACK_TIMEOUT = 10_000;
/** The close code for a token that is invalid or no longer valid. */
const UNAUTHENTICATED = 4401;

export function openSocket(
  identity: Identity,
  store: ConnectionStore,
  onUnauthenticated: (reason: string) => void,
): Socket {
  let pongTimer: ReturnType<typeof setTimeout> | undefined;
  const socket = createClient({
    url: new URL("/graphql", location.href.replace(/^http/, "ws")).href,
    connectionParams: connectionParamsOf(identity),
    retryAttempts: Number.POSITIVE_INFINITY,
    shouldRetry: () => true,
    retryWait: (attempts) => new Promise((resolve) => setTimeout(resolve, retryDelay(attempts))),
    keepAlive: PING_INTERVAL,
    connectionAckWaitTimeout: ACK_TIMEOUT,
    // Going from one page to the next reuses the connection.
    lazyCloseTimeout: 1000,
    on: {
      connecting: (isRetry) => store.connecting(isRetry),
      connected: () => store.connected(),
      closed: (event) => {
        clearTimeout(pongTimer);
        const { code, reason } = event as CloseEvent;
        store.closed(code);
        if (code === UNAUTHENTICATED) onUnauthenticated(reason);
      },
      // A dead connection may send no close frame: without a pong in time it counts as lost.
      ping: (received) => {
        if (!received) pongTimer = setTimeout(() => socket.terminate(), PONG_TIMEOUT);
      },
      pong: (received) => {
        if (received) clearTimeout(pongTimer);
      },
    },
  });
  return socket;
}

/** The back-off in milliseconds, with jitter, so that clients do not reconnect all at once. */
export function retryDelay(attempts: number): number {
  return Math.min(FIRST_DELAY * 2 ** attempts, LONGEST_DELAY) * (0.5 + Math.random() / 2);
}
