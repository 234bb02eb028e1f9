/** Subscriptions that resume after a lost connection: they ask for the entries after the last one received. */

import type { Client as Socket, SubscribePayload } from "graphql-ws";

interface Result {
  data?: unknown;
}

/** The observer that urql passes in. */
interface Observer {
  next: (result: never) => void;
  error: (error: unknown) => void;
  complete: () => void;
}

/** Milliseconds before a subscription that ended with a temporary error is started again. */
const RETRY_DELAY = 3000;

/** Temporary refusals: the budget refills, and running operations complete. */
const TEMPORARY = new Set(["RATE_LIMITED", "TOO_MANY_OPERATIONS"]);

/** Close codes after which another connection would fail in the same way: unauthenticated, unsupported subprotocol. */
const FINAL = new Set([4401, 4406]);

/** Subscribe; the result ends the subscription. The document has one field with a `cursor`, and a variable `$after`. */
export function resumableSubscription(socket: Socket, payload: SubscribePayload, sink: Observer): () => void {
  // graphql-ws sends this same object again with every new connection, so its `after` is kept up to date.
  const request = { ...payload, variables: { ...payload.variables } as Record<string, unknown> };
  let unsubscribe = () => {};
  let retryTimer: ReturnType<typeof setTimeout> | undefined;

  function start() {
    unsubscribe = socket.subscribe(request, {
      next: (result) => {
        const cursor = cursorIn(result);
        if (cursor) request.variables.after = cursor;
        sink.next(result as never);
      },
      // graphql-ws treats some close codes as fatal that are temporary, for example after a laptop was asleep.
      error: (error) => {
        if (isTemporary(error)) retryTimer = setTimeout(start, RETRY_DELAY);
        else sink.error(error);
      },
      complete: () => sink.complete(),
    });
  }

  start();
  return () => {
    clearTimeout(retryTimer);
    unsubscribe();
  };
}

/** A refusal by the server is a list of GraphQL errors; the end of a connection is the browser's close event. */
function isTemporary(error: unknown): boolean {
  if (Array.isArray(error)) return error.every((one) => TEMPORARY.has(one.extensions?.code));
  const { code } = error as { code?: number };
  return code === undefined || !FINAL.has(code);
}

function cursorIn({ data }: Result): string | undefined {
  const [entry] = Object.values((data ?? {}) as Record<string, { cursor?: string } | null>);
  return entry?.cursor;
}
