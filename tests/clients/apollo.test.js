import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { DOCUMENTS } from "./documents.js";
import { AUTHORIZATION } from "./product.js";
import { story } from "./story.js";

const parsed = Object.fromEntries(Object.entries(DOCUMENTS).map(([name, text]) => [name, gql(text)]));

function over(link, socket) {
  const client = new ApolloClient({ link, cache: new InMemoryCache() });
  return {
    async ask(name, variables) {
      const asked = DOCUMENTS[name].startsWith("mutation")
        ? client.mutate({ mutation: parsed[name], variables })
        : client.query({ query: parsed[name], variables });
      return (await asked).data;
    },
    watch: (variables, see) =>
      new Promise((complete, error) => {
        const next = (result) => (result.error ? error(result.error) : see(result.data.tenantProvisioning));
        client
          .subscribe({ query: parsed.Watch, variables, fetchPolicy: "no-cache" })
          .subscribe({ next, complete, error });
      }),
    leave: () => socket.dispose(),
  };
}

function socketTo(cable) {
  return createClient({
    url: `${cable.ws}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: AUTHORIZATION },
    retryAttempts: 0,
  });
}

story("apollo-http", (cable) => {
  const socket = socketTo(cable);
  const http = new HttpLink({ uri: `${cable.http}/graphql`, headers: { authorization: AUTHORIZATION } });
  const isSubscription = (operation) => operation.operationType === OperationTypeNode.SUBSCRIPTION;
  return over(ApolloLink.split(isSubscription, new GraphQLWsLink(socket), http), socket);
});

story("apollo-ws", (cable) => {
  const socket = socketTo(cable);
  return over(new GraphQLWsLink(socket), socket);
});
