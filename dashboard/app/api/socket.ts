/** The websocket of a signed-in person: opened when something is watched, opened again whenever it is lost. */

import { createClient, type Client as Socket } from "graphql-ws";
import { type Identity, introductionOf } from "../../shared/identity";
import type { LinkStore } from "./link";

const FIRST_WAIT = 250;
const LONGEST_WAIT = 5000;
const PING_EVERY = 10_000;
const PONG_WITHIN = 5000;
const ACK_WITHIN = 10_000;
/** What the server says of a token that is no good (any more). */
const UNAUTHENTICATED = 4401;

export function openSocket(identity: Identity, link: LinkStore, onRefused: (why: string) => void): Socket {
  let overdue: ReturnType<typeof setTimeout> | undefined;
  const socket = createClient({
    url: new URL("/graphql", location.href.replace(/^http/, "ws")).href,
    connectionParams: introductionOf(identity),
    retryAttempts: Number.POSITIVE_INFINITY,
    shouldRetry: () => true,
    retryWait: (tries) => new Promise((resolve) => setTimeout(resolve, waitBefore(tries))),
    keepAlive: PING_EVERY,
    connectionAckWaitTimeout: ACK_WITHIN,
    // Leaving one page and entering the next takes no new connection.
    lazyCloseTimeout: 1000,
    on: {
      connecting: (again) => link.connecting(again),
      connected: () => link.connected(),
      closed: (event) => {
        clearTimeout(overdue);
        const { code, reason } = event as CloseEvent;
        link.closed(code);
        if (code === UNAUTHENTICATED) onRefused(reason);
      },
      // A connection may die without a word: whoever does not answer is taken for gone.
      ping: (received) => {
        if (!received) overdue = setTimeout(() => socket.terminate(), PONG_WITHIN);
      },
      pong: (received) => {
        if (received) clearTimeout(overdue);
      },
    },
  });
  return socket;
}

/** Milliseconds, with chance in them, so that not everybody comes back at once. */
export function waitBefore(tries: number): number {
  return Math.min(FIRST_WAIT * 2 ** tries, LONGEST_WAIT) * (0.5 + Math.random() / 2);
}
