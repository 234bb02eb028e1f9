/** The API as the signed-in person reaches it: one client, one cache, one websocket. */

import { retryExchange } from "@urql/exchange-retry";
import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { Client, type CombinedError, fetchExchange, mapExchange, Provider, subscriptionExchange } from "urql";
import { headersOf, type Identity } from "../../shared/identity";
import { expire } from "../session";
import { sentencesOf } from "../ui/notice";
import { freshCache } from "./cache";
import { learnFrom } from "./clock";
import { type Link, LinkStore, useLinkOf } from "./link";
import { resuming } from "./resuming";
import { openSocket } from "./socket";

interface Connection {
  client: Client;
  link: LinkStore;
  end: () => void;
}

const LinkContext = createContext(new LinkStore());

export function Api({ identity, children }: { identity: Identity; children: ReactNode }) {
  const [connection, setConnection] = useState<Connection>();
  useEffect(() => {
    const made = connect(identity);
    setConnection(made);
    return made.end;
  }, [identity]);
  if (!connection) return null;
  return (
    <LinkContext value={connection.link}>
      <Provider value={connection.client}>{children}</Provider>
    </LinkContext>
  );
}

export function useLink(): Link {
  return useLinkOf(useContext(LinkContext));
}

function connect(identity: Identity): Connection {
  const link = new LinkStore();
  const socket = openSocket(identity, link, expire);
  const client = new Client({
    url: "/graphql",
    preferGetMethod: false,
    fetch: async (address, init) => {
      const answer = await fetch(address, init);
      learnFrom(answer);
      return answer;
    },
    fetchOptions: { headers: headersOf(identity) },
    exchanges: [
      mapExchange({ onError: (error) => isUnauthenticated(error) && expire(sentencesOf(error).join(" ")) }),
      freshCache(),
      retryExchange({ initialDelayMs: 1000, maxNumberAttempts: 4, retryIf: isTooMuch }),
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({
            unsubscribe: resuming(socket, { query: query ?? "", variables: variables ?? {} }, sink as never),
          }),
        }),
      }),
      fetchExchange,
    ],
  });
  return { client, link, end: () => void socket.dispose() };
}

/** The budget is spent: nothing was done, and points flow back by the second. */
function isTooMuch(error: CombinedError): boolean {
  return (error.response as Response | undefined)?.status === 429;
}

function isUnauthenticated(error: CombinedError): boolean {
  const codes = error.graphQLErrors.map((one) => one.extensions.code);
  return (error.response as Response | undefined)?.status === 401 || codes.includes("UNAUTHENTICATED");
}
