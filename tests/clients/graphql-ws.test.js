import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { Cable } from "./cable.js";
import { DOCUMENTS } from "./documents.js";
import { AUTHORIZATION, create, truth, until } from "./product.js";
import { numbered, story } from "./story.js";

function connected(cable, options = {}) {
  return createClient({
    url: `${cable.ws}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: AUTHORIZATION },
    retryAttempts: 0,
    ...options,
  });
}

function watch(client, variables, see) {
  return new Promise((complete, error) => {
    const next = ({ data }) => see(data.tenantProvisioning);
    client.subscribe({ query: DOCUMENTS.Watch, variables }, { next, complete, error });
  });
}

story("graphql-ws", (cable) => {
  const client = connected(cable);
  return {
    async ask(name, variables) {
      for await (const { data } of client.iterate({ query: DOCUMENTS[name], variables })) return data;
    },
    watch: (variables, see) => watch(client, variables, see),
    leave: () => client.dispose(),
  };
});

test("graphql-ws retries by itself, and a getter for the cursor is all that it needs to go on", async () => {
  const slug = "graphql-ws-retries";
  const tenantId = await create(slug, true);
  const cable = await Cable.laid();
  let connections = 0;
  const on = { connected: () => connections++ };
  const client = connected(cable, { retryAttempts: 50, retryWait: async () => {}, shouldRetry: () => true, on });
  const seen = [];
  const variables = {
    tenantId,
    get after() {
      return seen.at(-1)?.cursor;
    },
  };

  const end = watch(client, variables, (entry) => seen.push(entry));
  for (const length of [3, 6]) {
    await until(() => numbered(seen).length >= length);
    cable.cut();
    cable.mend();
  }
  await end;

  assert.equal(connections, 3);
  assert.deepEqual(numbered(seen), (await truth(slug)).entries);
  await client.dispose();
  cable.remove();
});

test("graphql-ws does not retry when its token is no good", async () => {
  const cable = await Cable.laid();
  const client = connected(cable, { retryAttempts: 5, connectionParams: { authorization: "Bearer nonsense" } });

  await assert.rejects(watch(client, { tenantId: "x" }, assert.fail), (event) => event.code === 4401);

  await client.dispose();
  cable.remove();
});
