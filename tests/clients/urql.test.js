import assert from "node:assert/strict";
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import { onEnd, pipe, subscribe } from "wonka";
import WebSocket from "ws";
import { DOCUMENTS } from "./documents.js";
import { AUTHORIZATION } from "./product.js";
import { story } from "./story.js";

story("urql", (cable) => {
  const socket = createClient({
    url: `${cable.ws}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: AUTHORIZATION },
    retryAttempts: 0,
  });
  const client = new Client({
    url: `${cable.http}/graphql`,
    preferGetMethod: false,
    fetchOptions: { headers: { authorization: AUTHORIZATION } },
    exchanges: [
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: (request) => ({
          subscribe: (sink) => ({ unsubscribe: socket.subscribe({ ...request, query: request.query ?? "" }, sink) }),
        }),
      }),
    ],
  });
  return {
    async ask(name, variables) {
      const kind = DOCUMENTS[name].startsWith("mutation") ? "mutation" : "query";
      const { data, error } = await client[kind](DOCUMENTS[name], variables).toPromise();
      assert.equal(error, undefined);
      return data;
    },
    watch: (variables, see) =>
      new Promise((resolve, reject) => {
        pipe(
          client.subscription(DOCUMENTS.Watch, variables),
          onEnd(resolve),
          subscribe(({ data, error, hasNext }) => {
            if (error) reject(error);
            // At the end it shows the last result again, as one after which nothing comes.
            else if (hasNext) see(data.tenantProvisioning);
          }),
        );
      }),
    leave: () => socket.dispose(),
  };
});
