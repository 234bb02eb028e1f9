/** Subscriptions that go on where they were: after a lost connection they ask for what came after the last entry seen. */

import type { Client as Socket, SubscribePayload } from "graphql-ws";

interface Told {
  data?: unknown;
}

/** Whoever is told, as urql has it. */
interface Observer {
  next: (result: never) => void;
  error: (error: unknown) => void;
  complete: () => void;
}

/** Milliseconds before a stream that was refused or broken off for a passing reason is asked for again. */
const PAUSE = 3000;

/** Refusals that pass: the budget fills up again, and operations end. */
const PASSING = new Set(["RATE_LIMITED", "TOO_MANY_OPERATIONS"]);

/** Ends of a connection after which another one would end the same way: no identity, no such protocol. */
const FINAL = new Set([4401, 4406]);

/** Every stream of ours yields one field whose value has a cursor, and takes `$after`. */
export function resuming(socket: Socket, payload: SubscribePayload, sink: Observer): () => void {
  // graphql-ws sends this very object again with every new connection, so that it is kept up to date.
  const request = { ...payload, variables: { ...payload.variables } as Record<string, unknown> };
  let leave = () => {};
  let pausing: ReturnType<typeof setTimeout> | undefined;

  function begin() {
    leave = socket.subscribe(request, {
      next: (result) => {
        const cursor = cursorIn(result);
        if (cursor) request.variables.after = cursor;
        sink.next(result as never);
      },
      // Some ends of a connection are final to graphql-ws, and pass all the same: a laptop that slept, say.
      error: (error) => {
        if (isPassing(error)) pausing = setTimeout(begin, PAUSE);
        else sink.error(error);
      },
      complete: () => sink.complete(),
    });
  }

  begin();
  return () => {
    clearTimeout(pausing);
    leave();
  };
}

/** The server's refusals come as a list, the end of a connection as what the browser says of it. */
function isPassing(error: unknown): boolean {
  if (Array.isArray(error)) return error.every((one) => PASSING.has(one.extensions?.code));
  const { code } = error as { code?: number };
  return code === undefined || !FINAL.has(code);
}

function cursorIn({ data }: Told): string | undefined {
  const [entry] = Object.values((data ?? {}) as Record<string, { cursor?: string } | null>);
  return entry?.cursor;
}
