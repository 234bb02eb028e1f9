/** Requests to the API of the running product without any client library: tests compare the clients' results with these. */

import assert from "node:assert/strict";

export const PRODUCT = process.env.PRODUCT;
/** The owner's token, for the clients. */
export const TOKEN = process.env.TOKEN;
export const AUTHORIZATION = `Bearer ${TOKEN}`;

/** The administrator's token: the clients do not share its rate limit. */
const OBSERVER = `Bearer ${process.env.OBSERVER}`;

const TIMELINE = `query Timeline($slug: String!) {
  tenantBySlug(slug: $slug) {
    id state heldResources { name }
    currentRun { status }
    runs(first: 1) { edges { node { status timeline(first: 60) { edges { node { cursor sequence kind step } } } } } }
  }
}`;

const NEWEST = `query Newest($slug: String!) {
  tenantBySlug(slug: $slug) { runs(first: 1) { edges { node { timeline(last: 1) { edges { node { sequence } } } } } } }
}`;

export async function execute(document, variables = {}) {
  const response = await fetch(`${PRODUCT}/graphql`, {
    method: "POST",
    headers: { authorization: OBSERVER, "content-type": "application/json" },
    body: JSON.stringify({ query: document, variables }),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

/** Create a tenant; the result is its id. */
export async function create(slug, start) {
  const { createTenant } = await execute(
    "mutation Create($input: CreateTenantInput!) { createTenant(input: $input) { tenant { id } userErrors { message } } }",
    { input: { slug, start, plan: "pro", firstAdminEmail: "ada@example.com" } },
  );
  assert.deepEqual(createTenant.userErrors, []);
  return createTenant.tenant.id;
}

/** The tenant, its newest run and the numbered entries of that run. */
export async function fetchTenant(slug) {
  const { tenantBySlug: tenant } = await execute(TIMELINE, { slug });
  const [{ node: run }] = tenant.runs.edges;
  return {
    state: tenant.state,
    held: tenant.heldResources,
    status: run.status,
    entries: run.timeline.edges.map((edge) => edge.node),
  };
}

/** The sequence number of the newest entry of the tenant's newest run. */
export async function newestSequence(slug) {
  const [{ node: run }] = (await execute(NEWEST, { slug })).tenantBySlug.runs.edges;
  return run.timeline.edges[0].node.sequence;
}

/** Poll a condition until it is true; fails after `timeout` milliseconds. */
export async function until(condition, timeout = 30_000) {
  const deadline = Date.now() + timeout;
  for (;;) {
    const found = await condition();
    if (found) return found;
    assert.ok(Date.now() < deadline, `the condition was not met within ${timeout} ms: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 50)); // between two polls of the condition
  }
}
