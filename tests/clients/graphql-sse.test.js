import { createClient } from "graphql-sse";
import { DOCUMENTS } from "./documents.js";
import { AUTHORIZATION } from "./product.js";
import { story } from "./story.js";

story("graphql-sse", (cable) => {
  const url = `${cable.http}/graphql/stream`;
  const client = createClient({ url, headers: { authorization: AUTHORIZATION }, retryAttempts: 0 });
  return {
    async ask(name, variables) {
      for await (const { data } of client.iterate({ query: DOCUMENTS[name], variables })) return data;
    },
    watch: (variables, see) =>
      new Promise((complete, error) => {
        const next = ({ data }) => see(data.tenantProvisioning);
        client.subscribe({ query: DOCUMENTS.Watch, variables }, { next, complete, error });
      }),
    leave: () => client.dispose(),
  };
});
