/** How the page talks to the API: questions and commands over HTTP, subscriptions over one websocket. */

import { createGraphiQLFetcher, type Fetcher } from "@graphiql/toolkit";
import { createClient } from "graphql-ws";
import { headersOf, type Identity, introductionOf } from "../shared/identity";

const ADDRESS = "/graphql";

export interface Connection {
  fetcher: Fetcher;
  end: () => void;
}

export function connect(identity: Identity): Connection {
  const socket = createClient({
    url: new URL(ADDRESS, location.href.replace(/^http/, "ws")).href,
    connectionParams: introductionOf(identity),
    // A stream that is begun again would tell everything again: the person decides, with the last cursor as `after`.
    retryAttempts: 0,
  });
  const fetcher = createGraphiQLFetcher({
    url: ADDRESS,
    headers: headersOf(identity),
    wsClient: socket,
    // The API delivers nothing in parts, and is asked for nothing of the kind.
    enableIncrementalDelivery: false,
  });
  return { fetcher, end: () => void socket.dispose() };
}
