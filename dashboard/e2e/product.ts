/** Requests to the API of the running product without the dashboard: tests compare the pages with these results. */

export const PRODUCT = process.env.PRODUCT ?? "http://127.0.0.1:8000";

const { OWNER = "", ADMIN = "", VIEWER = "", PARTNER = "", GLOBEX_OWNER = "" } = process.env;
const TOKENS = { owner: OWNER, admin: ADMIN, viewer: VIEWER, partner: PARTNER, globex: GLOBEX_OWNER };

/** Users of the organisation acme, except `globex`: that is the owner of the other organisation. */
export type User = keyof typeof TOKENS;

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

interface TenantResult {
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

export function tokenOf(user: User): string {
  return TOKENS[user];
}

/** The default user is the partner's service account: its rate limit is not shared with any browser of the tests. */
export async function execute<Data>(
  document: string,
  variables: Record<string, unknown> = {},
  as: User = "partner",
): Promise<Data> {
  const response = await fetch(`${PRODUCT}/graphql`, {
    method: "POST",
    headers: { authorization: `Bearer ${tokenOf(as)}`, "content-type": "application/json" },
    body: JSON.stringify({ query: document, variables }),
  });
  const { data, errors } = (await response.json()) as { data: Data; errors?: unknown };
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}

/** A slug that is unused, also when the tests run again on the same product. */
export function slugFor(word: string): string {
  return `${word}-${Date.now().toString(36)}`;
}

interface CreateOptions {
  start?: boolean;
  plan?: string;
  as?: User;
}

export async function create(
  slug: string,
  { start = true, plan = "pro", as = "partner" }: CreateOptions = {},
): Promise<Tenant> {
  const { createTenant } = await execute<{ createTenant: { tenant: Tenant; userErrors: { message: string }[] } }>(
    `mutation Create($input: CreateTenantInput!) {
      createTenant(input: $input) { tenant { id databaseId slug } userErrors { message } }
    }`,
    { input: { slug, start, plan, firstAdminEmail: "ada@example.com" } },
    as,
  );
  if (!createTenant.tenant) throw new Error(JSON.stringify(createTenant.userErrors));
  return createTenant.tenant;
}

/** Send a mutation for one tenant; the result is its refusals. */
export async function command(
  name: string,
  inputType: string,
  input: Record<string, unknown>,
  as: User = "partner",
): Promise<{ code: string; message: string }[]> {
  const data = await execute<Record<string, { userErrors: { code: string; message: string }[] }>>(
    `mutation Command($input: ${inputType}!) { ${name}(input: $input) { userErrors { code message } } }`,
    { input },
    as,
  );
  return data[name]?.userErrors ?? [];
}

/** Start the next run of a tenant, when its pages are already open. */
export async function start(tenant: Tenant, as: User = "partner"): Promise<void> {
  const refusals = await command("retryProvisioning", "RetryProvisioningInput", { tenantId: tenant.id }, as);
  if (refusals.length > 0) throw new Error(JSON.stringify(refusals));
}

/** The tenant, its newest run and the numbered entries of that run. */
export async function fetchTenant({ id }: Tenant, as: User = "partner") {
  const { tenant } = await execute<{ tenant: TenantResult }>(
    `query FetchTenant($id: ID!) {
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

/** The sequence number of the newest entry of the tenant's newest run; 0 if there is no run. */
export async function newestSequence({ id }: Tenant, as: User = "partner"): Promise<number> {
  const { tenant } = await execute<{ tenant: TenantResult }>(
    `query Newest($id: ID!) {
      tenant(id: $id) { runs(first: 1) { edges { node { timeline(last: 1) { edges { node { sequence } } } } } } }
    }`,
    { id },
    as,
  );
  return tenant.runs.edges[0]?.node.timeline.edges[0]?.node.sequence ?? 0;
}

/**
 * Act while the workers are paused, so that no run makes progress: the states that the test acts on last as long as it
 * needs. Keep it short: other tests wait for their runs meanwhile.
 */
export async function whileWorkersPause<Result>(act: () => Promise<Result>): Promise<Result> {
  await controlWorkers("pause");
  try {
    return await act();
  } finally {
    await controlWorkers("resume");
  }
}

/** See tests/dashboard/worker_pause.py. */
async function controlWorkers(command: "pause" | "resume"): Promise<void> {
  const response = await fetch(`${process.env.WORKER_PAUSE}/${command}`, { method: "POST" });
  if (!response.ok) throw new Error(`The workers did not ${command}: ${response.status}`);
}
