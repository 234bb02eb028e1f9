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

/** Every stream of ours yields one field whose value has a cursor, and takes `$after`. */
export function resuming(socket: Socket, payload: SubscribePayload, sink: Observer): () => void {
  // graphql-ws sends this very object again with every new connection, so that it is kept up to date.
  const request = { ...payload, variables: { ...payload.variables } as Record<string, unknown> };
  return socket.subscribe(request, {
    next: (result) => {
      const cursor = cursorIn(result);
      if (cursor) request.variables.after = cursor;
      sink.next(result as never);
    },
    error: (error) => sink.error(error),
    complete: () => sink.complete(),
  });
}

function cursorIn({ data }: Told): string | undefined {
  const [entry] = Object.values((data ?? {}) as Record<string, { cursor?: string } | null>);
  return entry?.cursor;
}
