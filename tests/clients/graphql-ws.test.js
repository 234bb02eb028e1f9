import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "graphql-ws";
import WebSocket from "ws";
import { DOCUMENTS } from "./documents.js";
import { AUTHORIZATION, create, fetchTenant, until } from "./product.js";
import { numbered, story } from "./story.js";
import { TcpProxy } from "./tcp-proxy.js";

function connected(proxy, options = {}) {
  return createClient({
    url: `${proxy.ws}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: AUTHORIZATION },
    retryAttempts: 0,
    ...options,
  });
}

function watch(client, variables, onEntry) {
  return new Promise((complete, error) => {
    const next = ({ data }) => onEntry(data.tenantProvisioning);
    client.subscribe({ query: DOCUMENTS.Watch, variables }, { next, complete, error });
  });
}

story("graphql-ws", (proxy) => {
  const client = connected(proxy);
  return {
    async execute(name, variables) {
      for await (const { data } of client.iterate({ query: DOCUMENTS[name], variables })) return data;
    },
    watch: (variables, onEntry) => watch(client, variables, onEntry),
    close: () => client.dispose(),
  };
});

test("graphql-ws retries by itself, and resumes with nothing more than a getter for the cursor", async () => {
  const slug = "graphql-ws-retries";
  const tenantId = await create(slug, true);
  const proxy = await TcpProxy.start();
  let connections = 0;
  const on = { connected: () => connections++ };
  const client = connected(proxy, { retryAttempts: 50, retryWait: async () => {}, shouldRetry: () => true, on });
  const received = [];
  const variables = {
    tenantId,
    get after() {
      return received.at(-1)?.cursor;
    },
  };

  const end = watch(client, variables, (entry) => received.push(entry));
  for (const length of [3, 6]) {
    await until(() => numbered(received).length >= length);
    proxy.cut();
    proxy.restore();
  }
  await end;

  assert.equal(connections, 3);
  assert.deepEqual(numbered(received), (await fetchTenant(slug)).entries);
  await client.dispose();
  proxy.stop();
});

test("graphql-ws does not retry when its token is invalid", async () => {
  const proxy = await TcpProxy.start();
  const client = connected(proxy, { retryAttempts: 5, connectionParams: { authorization: "Bearer nonsense" } });

  await assert.rejects(watch(client, { tenantId: "x" }, assert.fail), (event) => event.code === 4401);

  await client.dispose();
  proxy.stop();
});
