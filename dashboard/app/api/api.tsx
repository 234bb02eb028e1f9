/** The API client of the signed-in user: one urql client, one cache, one websocket. */

import { retryExchange } from "@urql/exchange-retry";
import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { Client, type CombinedError, fetchExchange, mapExchange, Provider, subscriptionExchange } from "urql";
import { headersOf, type Identity } from "../../shared/identity";
import { expire } from "../../shared/session";
import { messagesOf } from "../ui/notice";
import { createCache } from "./cache";
import { syncClock } from "./clock";
import { type ConnectionStatus, ConnectionStore, useStatusOf } from "./connection-status";
import { FreshStarts } from "./fresh-start";
import { resumableSubscription } from "./resumable-subscription";
import { openSocket } from "./socket";

interface Connection {
  client: Client;
  store: ConnectionStore;
  close: () => void;
}

const ConnectionContext = createContext(new ConnectionStore());

interface ApiProps {
  identity: Identity;
  children: ReactNode;
}

/** A fresh start opens another connection, whose cache is empty. */
export function Api(props: ApiProps) {
  return (
    <FreshStarts>
      <Connected {...props} />
    </FreshStarts>
  );
}

function Connected({ identity, children }: ApiProps) {
  const [connection, setConnection] = useState<Connection>();
  useEffect(() => {
    const opened = connect(identity);
    setConnection(opened);
    return opened.close;
  }, [identity]);
  if (!connection) return null;
  return (
    <ConnectionContext value={connection.store}>
      <Provider value={connection.client}>{children}</Provider>
    </ConnectionContext>
  );
}

export function useConnectionStatus(): ConnectionStatus {
  return useStatusOf(useContext(ConnectionContext));
}

function connect(identity: Identity): Connection {
  const store = new ConnectionStore();
  const socket = openSocket(identity, store, expire);
  const client = new Client({
    url: "/graphql",
    preferGetMethod: false,
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      syncClock(response);
      return response;
    },
    fetchOptions: { headers: headersOf(identity) },
    exchanges: [
      mapExchange({ onError: (error) => isUnauthenticated(error) && expire(messagesOf(error).join(" ")) }),
      createCache(),
      retryExchange({ initialDelayMs: 1000, maxNumberAttempts: 4, retryIf: isRateLimited }),
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({
            unsubscribe: resumableSubscription(
              socket,
              { query: query ?? "", variables: variables ?? {} },
              sink as never,
            ),
          }),
        }),
      }),
      fetchExchange,
    ],
  });
  return { client, store, close: () => void socket.dispose() };
}

/** A rate-limited request had no effect, and the budget refills every second: a retry is safe. */
function isRateLimited(error: CombinedError): boolean {
  return (error.response as Response | undefined)?.status === 429;
}

function isUnauthenticated(error: CombinedError): boolean {
  const codes = error.graphQLErrors.map((one) => one.extensions.code);
  return (error.response as Response | undefined)?.status === 401 || codes.includes("UNAUTHENTICATED");
}
