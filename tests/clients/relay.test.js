import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { promisify } from "node:util";
import { createClient } from "graphql-ws";
import relayCompiler from "relay-compiler";
import {
  ConnectionHandler,
  commitMutation,
  createOperationDescriptor,
  Environment,
  fetchQuery,
  getSingularSelector,
  Network,
  Observable,
  RecordSource,
  requestSubscription,
  Store,
} from "relay-runtime";
import WebSocket from "ws";
import { AUTHORIZATION, create } from "./product.js";
import { story } from "./story.js";
import { TcpProxy } from "./tcp-proxy.js";

const COMPILED = "relay/__generated__";

await rm(COMPILED, { recursive: true, force: true });
await mkdir(COMPILED);
await promisify(execFile)(relayCompiler, ["relay.config.json"]);
const artifacts = await readdir(COMPILED);

// The artifacts require each other without a file extension, which only CommonJS resolves.
await writeFile(`${COMPILED}/package.json`, '{ "type": "commonjs" }');
const require = createRequire(import.meta.url);
const artifact = (name) => require(`./${COMPILED}/${name}.graphql`);

const queries = { Who: artifact("operationsWhoQuery"), Page: artifact("operationsPageQuery") };
const mutations = { Create: artifact("operationsCreateMutation"), Cancel: artifact("operationsCancelMutation") };
const subscription = artifact("operationsWatchSubscription");
const pageFragment = artifact("operationsPage_query");

function environmentOn(proxy) {
  const socket = createClient({
    url: `${proxy.ws}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: AUTHORIZATION },
    retryAttempts: 0,
  });
  const overHttp = async ({ text }, variables) => {
    const response = await fetch(`${proxy.http}/graphql`, {
      method: "POST",
      headers: { authorization: AUTHORIZATION, "content-type": "application/json" },
      body: JSON.stringify({ query: text, variables }),
    });
    return response.json();
  };
  const overSocket = ({ text, name }, variables) =>
    Observable.create((sink) => socket.subscribe({ query: text, operationName: name, variables }, sink));
  return {
    socket,
    environment: new Environment({
      network: Network.create(overHttp, overSocket),
      store: new Store(new RecordSource()),
    }),
  };
}

/** The data of the page fragment in the store: Relay holds all pages that were fetched so far. */
function pagesIn(environment, variables) {
  const { fragment } = createOperationDescriptor(queries.Page, variables);
  const root = environment.lookup(fragment).data;
  return environment.lookup(getSingularSelector(pageFragment, root)).data;
}

function commit(environment, mutation, variables) {
  return new Promise((onCompleted, onError) =>
    commitMutation(environment, { mutation, variables, onCompleted, onError }),
  );
}

/** Relay's store joins all pages, and the story needs the page that was fetched. */
async function page(environment, variables) {
  const before = variables.after ? pagesIn(environment, variables).tenants.edges.length : 0;
  await fetchQuery(environment, queries.Page, variables).toPromise();
  const { tenants } = pagesIn(environment, variables);
  const edges = tenants.edges.slice(before).map(({ cursor, node: { id, slug } }) => ({ cursor, node: { id, slug } }));
  return { tenants: { ...tenants, edges } };
}

story("relay", (proxy) => {
  const { socket, environment } = environmentOn(proxy);
  return {
    execute(name, variables) {
      if (name === "Page") return page(environment, variables);
      if (name in queries) return fetchQuery(environment, queries[name], variables).toPromise();
      return commit(environment, mutations[name], variables);
    },
    watch: (variables, onEntry) =>
      new Promise((onCompleted, onError) => {
        const onNext = ({ tenantProvisioning }) => onEntry(tenantProvisioning);
        requestSubscription(environment, { subscription, variables, onNext, onCompleted, onError });
      }),
    close: () => socket.dispose(),
  };
});

test("relay-compiler accepts the schema and every operation", () => {
  assert.deepEqual(artifacts.sort(), [
    "operationsCancelMutation.graphql.js",
    "operationsCreateMutation.graphql.js",
    "operationsJoinMutation.graphql.js",
    "operationsPageQuery.graphql.js",
    "operationsPage_query.graphql.js",
    "operationsTenantQuery.graphql.js",
    "operationsTenant_tenant.graphql.js",
    "operationsWatchSubscription.graphql.js",
    "operationsWhoQuery.graphql.js",
  ]);
});

test("a created tenant is appended to Relay's connection, and is refetched as a node", async () => {
  const proxy = await TcpProxy.start();
  const { environment } = environmentOn(proxy);
  const variables = { prefix: "relay-joined", first: 2, after: null };
  await create("relay-joined-a", false);
  await fetchQuery(environment, queries.Page, variables).toPromise();
  const filters = { filter: { slugPrefix: variables.prefix }, orderBy: { field: "SLUG", direction: "ASC" } };
  const connection = ConnectionHandler.getConnectionID("client:root", "operationsPage_tenants", filters);

  const input = { slug: "relay-joined-b", start: false, plan: "pro", firstAdminEmail: "ada@example.com" };
  await commit(environment, artifact("operationsJoinMutation"), { input, connections: [connection] });

  const { edges } = pagesIn(environment, variables).tenants;
  assert.deepEqual(
    edges.map(({ node }) => node.slug),
    ["relay-joined-a", "relay-joined-b"],
  );
  const tenant = artifact("operationsTenantQuery");
  const { node } = await fetchQuery(environment, tenant, { id: edges[1].node.id }).toPromise();
  const refetched = environment.lookup(getSingularSelector(artifact("operationsTenant_tenant"), node)).data;
  assert.equal(refetched.id, edges[1].node.id);
  assert.equal(refetched.state, "PENDING");
  assert.deepEqual(refetched.runs.edges, []);
  proxy.stop();
});
