/** The running product as the tests know it, asked without anybody's client: what the clients saw is held against this. */

import assert from "node:assert/strict";

export const PRODUCT = process.env.PRODUCT;
/** The owner's, for the clients. */
export const TOKEN = process.env.TOKEN;
export const AUTHORIZATION = `Bearer ${TOKEN}`;

/** The administrator's, whose budget the clients do not share. */
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

export async function ask(document, variables = {}) {
  const answer = await fetch(`${PRODUCT}/graphql`, {
    method: "POST",
    headers: { authorization: OBSERVER, "content-type": "application/json" },
    body: JSON.stringify({ query: document, variables }),
  });
  const { data, errors } = await answer.json();
  assert.equal(errors, undefined, JSON.stringify(errors));
  return data;
}

/** A tenant of the tests' own; its id. */
export async function create(slug, start) {
  const { createTenant } = await ask(
    "mutation Create($input: CreateTenantInput!) { createTenant(input: $input) { tenant { id } userErrors { message } } }",
    { input: { slug, start, plan: "pro", firstAdminEmail: "ada@example.com" } },
  );
  assert.deepEqual(createTenant.userErrors, []);
  return createTenant.tenant.id;
}

/** The tenant, its newest run and that run's numbered entries, from the rows. */
export async function truth(slug) {
  const { tenantBySlug: tenant } = await ask(TIMELINE, { slug });
  const [{ node: run }] = tenant.runs.edges;
  return {
    state: tenant.state,
    held: tenant.heldResources,
    status: run.status,
    entries: run.timeline.edges.map((edge) => edge.node),
  };
}

/** The number of the newest entry of the tenant's newest run. */
export async function newest(slug) {
  const [{ node: run }] = (await ask(NEWEST, { slug })).tenantBySlug.runs.edges;
  return run.timeline.edges[0].node.sequence;
}

export async function until(condition, within = 30_000) {
  const deadline = Date.now() + within;
  for (;;) {
    const found = await condition();
    if (found) return found;
    assert.ok(Date.now() < deadline, `it did not come true in time: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 50)); // between two looks at a condition, never instead of one
  }
}
