"""The GraphQL documents of the demonstration, which use only the public API."""

CREATE = """
mutation Create($input: CreateTenantInput!) {
  createTenant(input: $input) {
    tenant { id databaseId slug state url }
    run { id number status }
    userErrors { code message }
  }
}
"""

CANCEL = """
mutation Cancel($input: CancelProvisioningInput!) {
  cancelProvisioning(input: $input) {
    run { status cancelRequest { requestedAt stepInFlight } }
    alreadyRequested
    userErrors { code message }
  }
}
"""

RETRY = """
mutation Retry($input: RetryProvisioningInput!) {
  retryProvisioning(input: $input) { run { id number } userErrors { code message } }
}
"""

WATCH = """
subscription Watch($tenant: ID!) {
  tenantProvisioning(tenantId: $tenant) { kind step message sequence occurredAt run { id number } }
}
"""

TENANT = """
query Tenant($id: ID!) {
  tenant(id: $id) {
    id slug state url
    heldResources { kind name status }
    abandonedResources { kind name abandonedBy { displayName } abandonedReason }
    runs(first: 1) {
      edges {
        node {
          id number status
          cancelRequest { requestedAt requestedBy { displayName } reason stepInFlight }
          steps { name title status percent startedAt finishedAt compensatedAt }
          resources { kind name step status releasedAt }
        }
      }
    }
  }
}
"""

FEED = """
query Feed($tenant: ID!) {
  auditEvents(first: 100, filter: {tenantId: $tenant}) {
    edges { node { type actor { displayName } data } }
  }
}
"""
