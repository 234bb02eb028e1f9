/** The operations of the default tabs. tests/promises validates each against the schema. */

import type { GraphiQLProps } from "graphiql";

export const OPERATIONS: NonNullable<GraphiQLProps["defaultTabs"]> = [
  {
    query: `query ListTenants($first: Int! = 20, $after: String) {
  tenants(first: $first, after: $after, orderBy: { field: UPDATED_AT, direction: DESC }) {
    totalCount
    nodes { id slug state plan region updatedAt availableActions }
    pageInfo { hasNextPage endCursor }
  }
}
`,
  },
  {
    query: `mutation CreateTenant($input: CreateTenantInput!) {
  createTenant(input: $input) {
    tenant { id state url }
    run { id number status }
    userErrors { code message field }
  }
}
`,
    variables: `{
  "input": { "slug": "books", "plan": "starter", "firstAdminEmail": "ada@example.com" }
}
`,
  },
  {
    query: `# After a lost connection, subscribe again with the last cursor as "after": no entry is skipped or repeated.
subscription WatchProvisioning($tenantId: ID!, $after: String) {
  tenantProvisioning(tenantId: $tenantId, after: $after) {
    sequence
    kind
    step
    message
    occurredAt
    cursor
  }
}
`,
    variables: `{
  "tenantId": "the id that createTenant returned"
}
`,
  },
  {
    query: `mutation CancelProvisioning($input: CancelProvisioningInput!) {
  cancelProvisioning(input: $input) {
    alreadyRequested
    tenant { state }
    run { number status cancelRequest { stepInFlight requestedBy { displayName } } }
    userErrors { code message ... on InvalidStateError { currentState allowedStates } }
  }
}
`,
    variables: `{
  "input": { "tenantId": "the id that createTenant returned", "reason": "wrong plan" }
}
`,
  },
  {
    query: `query AuditFeed($first: Int! = 20, $after: String, $filter: AuditEventFilter) {
  auditEvents(first: $first, after: $after, filter: $filter) {
    edges { node { occurredAt type actor { displayName kind } tenant { slug } data } }
    pageInfo { hasNextPage endCursor }
  }
}
`,
  },
];
