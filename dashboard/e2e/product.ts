/** The running product, asked without the dashboard: what people see on the pages is held against this. */

export const PRODUCT = process.env.PRODUCT ?? "http://127.0.0.1:8000";

const { OWNER = "", ADMIN = "", VIEWER = "", PARTNER = "", GLOBEX_OWNER = "" } = process.env;
const TOKENS = { owner: OWNER, admin: ADMIN, viewer: VIEWER, partner: PARTNER, globex: GLOBEX_OWNER };

/** Of acme, except globex: that is the owner of the other organisation. */
export type Person = keyof typeof TOKENS;

export interface Tenant {
  id: string;
  databaseId: string;
  slug: string;
}

interface Entry {
  sequence: number;
  kind: string;
  step: string | null;
}

interface Truth {
  state: string;
  heldResources: { name: string }[];
  runs: {
    edges: {
      node: {
        status: string;
        cancelRequest: { reason: string | null; requestedBy: { displayName: string } } | null;
        timeline: { edges: { node: Entry }[] };
      };
    }[];
  };
}

export function tokenOf(person: Person): string {
  return TOKENS[person];
}

/** The tests ask as the partner's program, whose budget no person at a browser shares. */
export async function ask<Data>(
  document: string,
  variables: Record<string, unknown> = {},
  as: Person = "partner",
): Promise<Data> {
  const answer = await fetch(`${PRODUCT}/graphql`, {
    method: "POST",
    headers: { authorization: `Bearer ${tokenOf(as)}`, "content-type": "application/json" },
    body: JSON.stringify({ query: document, variables }),
  });
  const { data, errors } = (await answer.json()) as { data: Data; errors?: unknown };
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}

/** Something that nobody used before, also when the tests run once more on the same product. */
export function slugFor(word: string): string {
  return `${word}-${Date.now().toString(36)}`;
}

interface Order {
  start?: boolean;
  plan?: string;
  as?: Person;
}

export async function create(
  slug: string,
  { start = true, plan = "pro", as = "partner" }: Order = {},
): Promise<Tenant> {
  const { createTenant } = await ask<{ createTenant: { tenant: Tenant; userErrors: { message: string }[] } }>(
    `mutation Create($input: CreateTenantInput!) {
      createTenant(input: $input) { tenant { id databaseId slug } userErrors { message } }
    }`,
    { input: { slug, start, plan, firstAdminEmail: "ada@example.com" } },
    as,
  );
  if (!createTenant.tenant) throw new Error(JSON.stringify(createTenant.userErrors));
  return createTenant.tenant;
}

/** A mutation on one tenant; its refusals. */
export async function command(
  name: string,
  inputType: string,
  input: Record<string, unknown>,
  as: Person = "partner",
): Promise<{ code: string; message: string }[]> {
  const answer = await ask<Record<string, { userErrors: { code: string; message: string }[] }>>(
    `mutation Command($input: ${inputType}!) { ${name}(input: $input) { userErrors { code message } } }`,
    { input },
    as,
  );
  return answer[name]?.userErrors ?? [];
}

/** Start the next run of a tenant, while people are looking at it already. */
export async function start(tenant: Tenant, as: Person = "partner"): Promise<void> {
  const refusals = await command("retryProvisioning", "RetryProvisioningInput", { tenantId: tenant.id }, as);
  if (refusals.length > 0) throw new Error(JSON.stringify(refusals));
}

/** The tenant, its newest run and that run's numbered entries, from the rows. */
export async function truth({ id }: Tenant, as: Person = "partner") {
  const { tenant } = await ask<{ tenant: Truth }>(
    `query Truth($id: ID!) {
      tenant(id: $id) {
        state
        heldResources { name }
        runs(first: 1) {
          edges {
            node {
              status
              cancelRequest { reason requestedBy { displayName } }
              timeline(first: 60) { edges { node { sequence kind step } } }
            }
          }
        }
      }
    }`,
    { id },
    as,
  );
  const run = tenant.runs.edges[0]?.node;
  return {
    state: tenant.state,
    held: tenant.heldResources,
    status: run?.status,
    cancelRequest: run?.cancelRequest ?? null,
    entries: run?.timeline.edges.map((edge) => edge.node) ?? [],
  };
}

/** The number of the newest entry of the tenant's newest run. */
export async function newest({ id }: Tenant, as: Person = "partner"): Promise<number> {
  const { tenant } = await ask<{ tenant: Truth }>(
    `query Newest($id: ID!) {
      tenant(id: $id) { runs(first: 1) { edges { node { timeline(last: 1) { edges { node { sequence } } } } } } }
    }`,
    { id },
    as,
  );
  return tenant.runs.edges[0]?.node.timeline.edges[0]?.node.sequence ?? 0;
}
