/** The normalised cache: one copy of each object, by its id, so that a query, a mutation or a subscription updates every view. */

import { type Cache, cacheExchange, type UpdateResolver } from "@urql/exchange-graphcache";
import type { Exchange } from "urql";
import { RunTimelineFragmentDoc, type TenantProvisioningSubscription } from "../__generated__/graphql";
import introspection from "../__generated__/possible-types";

/** Types without an id: they are cached as part of the object or query that holds them. */
const EMBEDDED = [
  "AbsenceCheck",
  "CancelRequest",
  "CancellationPreview",
  "ProvisioningOptions",
  "Resource",
  "RunStep",
  "SlugCheck",
  "Viewer",
];

type Entry = TenantProvisioningSubscription["tenantProvisioning"];

export function createCache(): Exchange {
  return cacheExchange({
    possibleTypes: introspection.possibleTypes,
    keys: Object.fromEntries(EMBEDDED.map((name) => [name, () => null])),
    updates: {
      Mutation: {
        createTenant: invalidate("Query", "tenants"),
        recreateTenant: invalidate("Query", "tenants"),
        inviteMember: invalidatePeople,
        changeMemberRole: invalidatePeople,
        removeMember: invalidatePeople,
        createServiceAccount: invalidatePeople,
        revokeServiceAccount: invalidatePeople,
      },
      Subscription: {
        tenantProvisioning: (data, _, cache) => {
          appendEntry((data as unknown as TenantProvisioningSubscription).tenantProvisioning, cache);
        },
      },
    },
  });
}

/** Refetch a list when it is shown the next time: only the server knows which objects belong to it, and where. */
function invalidate(entity: "Query", field: string): UpdateResolver {
  return (_, __, cache) => {
    const cached = cache.inspectFields(entity).filter(({ fieldName }) => fieldName === field);
    for (const { fieldKey } of cached) cache.invalidate(entity, fieldKey);
  };
}

function invalidatePeople(_: unknown, __: unknown, cache: Cache): void {
  cache.invalidate("Query", "organization");
}

/** Append a numbered entry to its run's timeline. Progress entries have no number and are not part of the history. */
function appendEntry(entry: Entry, cache: Cache): void {
  if (entry.sequence === null) return;
  const { id } = entry.run;
  const cached = cache.readFragment(RunTimelineFragmentDoc, { __typename: "ProvisioningRun", id });
  // This timeline was not queried yet; a later query returns all of it.
  if (!cached && entry.kind !== "RUN_STARTED") return;
  const edges = cached?.timeline.edges ?? [];
  if (edges.some((edge) => edge.node.id === entry.id)) return;
  const { run: _, cursor, ...fields } = entry;
  const node = { __typename: "ProvisioningEvent", cursor, ...fields };
  cache.writeFragment(RunTimelineFragmentDoc, {
    __typename: "ProvisioningRun",
    id,
    timeline: {
      __typename: "ProvisioningEventConnection",
      edges: [...edges, { __typename: "ProvisioningEventEdge", cursor, node }],
      pageInfo: cached?.timeline.pageInfo ?? { __typename: "PageInfo", hasPreviousPage: false },
    },
  } as never);
}
