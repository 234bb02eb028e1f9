/** The page's connection to the API: queries and mutations over HTTP, subscriptions over one websocket. */

import { createGraphiQLFetcher, type Fetcher } from "@graphiql/toolkit";
import { createClient } from "graphql-ws";
import { connectionParamsOf, headersOf, type Identity } from "../shared/identity";

const PATH = "/graphql";

export interface Connection {
  fetcher: Fetcher;
  close: () => void;
}

export function connect(identity: Identity): Connection {
  const socket = createClient({
    url: new URL(PATH, location.href.replace(/^http/, "ws")).href,
    connectionParams: connectionParamsOf(identity),
    // A repeated subscription would deliver all entries again: the user subscribes again, with the last cursor as `after`.
    retryAttempts: 0,
  });
  const fetcher = createGraphiQLFetcher({
    url: PATH,
    headers: headersOf(identity),
    wsClient: socket,
    // The API does not support incremental delivery.
    enableIncrementalDelivery: false,
  });
  return { fetcher, close: () => void socket.dispose() };
}
