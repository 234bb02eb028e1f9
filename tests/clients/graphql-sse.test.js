import { createClient } from "graphql-sse";
import { DOCUMENTS } from "./documents.js";
import { AUTHORIZATION } from "./product.js";
import { story } from "./story.js";

story("graphql-sse", (proxy) => {
  const url = `${proxy.http}/graphql/stream`;
  const client = createClient({ url, headers: { authorization: AUTHORIZATION }, retryAttempts: 0 });
  return {
    async execute(name, variables) {
      for await (const { data } of client.iterate({ query: DOCUMENTS[name], variables })) return data;
    },
    watch: (variables, onEntry) =>
      new Promise((complete, error) => {
        const next = ({ data }) => onEntry(data.tenantProvisioning);
        client.subscribe({ query: DOCUMENTS.Watch, variables }, { next, complete, error });
      }),
    close: () => client.dispose(),
  };
});
