import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { DOCUMENTS } from "./documents.js";
import { AUTHORIZATION } from "./product.js";
import { story } from "./story.js";

const parsed = Object.fromEntries(Object.entries(DOCUMENTS).map(([name, text]) => [name, gql(text)]));

function clientWith(link, socket) {
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  return {
    async execute(name, variables) {
      const result = DOCUMENTS[name].startsWith("mutation")
        ? client.mutate({ mutation: parsed[name], variables })
        : client.query({ query: parsed[name], variables });
      return (await result).data;
    },
    watch: (variables, onEntry) =>
      new Promise((complete, error) => {
        const next = (result) => (result.error ? error(result.error) : onEntry(result.data.tenantProvisioning));
        client
          .subscribe({ query: parsed.Watch, variables, fetchPolicy: "no-cache" })
          .subscribe({ next, complete, error });
      }),
    close: () => socket.dispose(),
  };
}

function socketTo(proxy) {
  return createClient({
    url: `${proxy.ws}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: AUTHORIZATION },
    retryAttempts: 0,
  });
}

story("apollo-http", (proxy) => {
  const socket = socketTo(proxy);
  const http = new HttpLink({ uri: `${proxy.http}/graphql`, headers: { authorization: AUTHORIZATION } });
  const isSubscription = (operation) => operation.operationType === OperationTypeNode.SUBSCRIPTION;
  return clientWith(ApolloLink.split(isSubscription, new GraphQLWsLink(socket), http), socket);
});

story("apollo-ws", (proxy) => {
  const socket = socketTo(proxy);
  return clientWith(new GraphQLWsLink(socket), socket);
});
