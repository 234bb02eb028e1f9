/** The documents that every client sends, except Relay: relay-compiler reads its own from relay/. */

export const DOCUMENTS = {
  Who: "query Who { viewer { actor { kind } } organization { slug } }",

  Page: `query Page($first: Int!, $after: String, $prefix: String!) {
    tenants(first: $first, after: $after, filter: { slugPrefix: $prefix }, orderBy: { field: SLUG, direction: ASC }) {
      edges { cursor node { id slug } }
      pageInfo { hasNextPage endCursor }
    }
  }`,

  Create: `mutation Create($input: CreateTenantInput!) {
    createTenant(input: $input) {
      tenant { id slug state }
      run { number status }
      userErrors { code field }
    }
  }`,

  Cancel: `mutation Cancel($input: CancelProvisioningInput!) {
    cancelProvisioning(input: $input) {
      alreadyRequested
      tenant { id slug }
      run { number status }
      userErrors { code field }
    }
  }`,

  Watch: `subscription Watch($tenantId: ID!, $after: String) {
    tenantProvisioning(tenantId: $tenantId, after: $after) { cursor sequence kind step }
  }`,
};
