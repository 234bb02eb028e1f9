/**
 * The operations that relay-compiler compiles. It rejects connections, edges, pageInfo, nodes and subscriptions that do
 * not follow Relay's conventions, so compiling this file is already a test of the schema.
 */

import { graphql } from "relay-runtime";

export const operations = () => [
  graphql`
    query operationsWhoQuery {
      viewer {
        actor {
          kind
        }
      }
      organization {
        slug
      }
    }
  `,
  graphql`
    fragment operationsPage_query on Query
    @argumentDefinitions(first: { type: "Int", defaultValue: 2 }, after: { type: "String" }, prefix: { type: "String!" })
    @refetchable(queryName: "operationsPageQuery") {
      tenants(first: $first, after: $after, filter: { slugPrefix: $prefix }, orderBy: { field: SLUG, direction: ASC })
        @connection(key: "operationsPage_tenants", filters: ["filter", "orderBy"]) {
        edges {
          cursor
          node {
            id
            slug
            ...operationsTenant_tenant
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `,
  graphql`
    fragment operationsTenant_tenant on Tenant
    @argumentDefinitions(count: { type: "Int", defaultValue: 5 }, cursor: { type: "String" })
    @refetchable(queryName: "operationsTenantQuery") {
      id
      state
      runs(first: $count, after: $cursor) @connection(key: "operationsTenant_runs") {
        edges {
          node {
            number
            status
          }
        }
      }
    }
  `,
  graphql`
    mutation operationsJoinMutation($input: CreateTenantInput!, $connections: [ID!]!) {
      createTenant(input: $input) {
        tenantEdge @appendEdge(connections: $connections) {
          node {
            slug
          }
        }
      }
    }
  `,
  graphql`
    mutation operationsCreateMutation($input: CreateTenantInput!) {
      createTenant(input: $input) {
        tenant {
          id
          slug
          state
        }
        run {
          number
          status
        }
        userErrors {
          code
          field
        }
      }
    }
  `,
  graphql`
    mutation operationsCancelMutation($input: CancelProvisioningInput!) {
      cancelProvisioning(input: $input) {
        alreadyRequested
        tenant {
          id
          slug
        }
        run {
          number
          status
        }
        userErrors {
          code
          field
        }
      }
    }
  `,
  graphql`
    subscription operationsWatchSubscription($tenantId: ID!, $after: String) {
      tenantProvisioning(tenantId: $tenantId, after: $after) {
        cursor
        sequence
        kind
        step
      }
    }
  `,
];
