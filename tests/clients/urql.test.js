import assert from "node:assert/strict";
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import { onEnd, pipe, subscribe } from "wonka";
import WebSocket from "ws";
import { DOCUMENTS } from "./documents.js";
import { AUTHORIZATION } from "./product.js";
import { story } from "./story.js";

story("urql", (proxy) => {
  const socket = createClient({
    url: `${proxy.ws}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: AUTHORIZATION },
    retryAttempts: 0,
  });
  const client = new Client({
    url: `${proxy.http}/graphql`,
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
    async execute(name, variables) {
      const kind = DOCUMENTS[name].startsWith("mutation") ? "mutation" : "query";
      const { data, error } = await client[kind](DOCUMENTS[name], variables).toPromise();
      assert.equal(error, undefined);
      return data;
    },
    watch: (variables, onEntry) =>
      new Promise((resolve, reject) => {
        pipe(
          client.subscription(DOCUMENTS.Watch, variables),
          onEnd(resolve),
          subscribe(({ data, error, hasNext }) => {
            if (error) reject(error);
            // At the end urql repeats the last result, with `hasNext` false.
            else if (hasNext) onEntry(data.tenantProvisioning);
          }),
        );
      }),
    close: () => socket.dispose(),
  };
});
