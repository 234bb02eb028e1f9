/** The cache: every object once, by its id, so that whatever tells of it, a question, a command or a stream, is shown everywhere. */

import { type Cache, cacheExchange, type UpdateResolver } from "@urql/exchange-graphcache";
import type { Exchange } from "urql";
import { RunTimelineFragmentDoc, type TenantProvisioningSubscription } from "../__generated__/graphql";
import kinds from "../__generated__/possible-types";

/** Parts of another object, or answers that are nobody's. */
const PARTS = [
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

export function freshCache(): Exchange {
  return cacheExchange({
    possibleTypes: kinds.possibleTypes,
    keys: Object.fromEntries(PARTS.map((name) => [name, () => null])),
    updates: {
      Mutation: {
        createTenant: forget("Query", "tenants"),
        recreateTenant: forget("Query", "tenants"),
        inviteMember: forgetPeople,
        changeMemberRole: forgetPeople,
        removeMember: forgetPeople,
        createServiceAccount: forgetPeople,
        revokeServiceAccount: forgetPeople,
      },
      Subscription: {
        tenantProvisioning: (told, _, cache) => {
          remember((told as unknown as TenantProvisioningSubscription).tenantProvisioning, cache);
        },
      },
    },
  });
}

/** Ask for a list anew when somebody looks at it again: what belongs into it, and where, is for the server to say. */
function forget(entity: "Query", field: string): UpdateResolver {
  return (_, __, cache) => {
    const asked = cache.inspectFields(entity).filter(({ fieldName }) => fieldName === field);
    for (const { fieldKey } of asked) cache.invalidate(entity, fieldKey);
  };
}

function forgetPeople(_: unknown, __: unknown, cache: Cache): void {
  cache.invalidate("Query", "organization");
}

/** A numbered entry goes to the end of its run's timeline. Signs of progress are no history. */
function remember(entry: Entry, cache: Cache): void {
  if (entry.sequence === null) return;
  const { id } = entry.run;
  const kept = cache.readFragment(RunTimelineFragmentDoc, { __typename: "ProvisioningRun", id });
  // Nobody has asked for this timeline yet; whoever does is told everything.
  if (!kept && entry.kind !== "RUN_STARTED") return;
  const edges = kept?.timeline.edges ?? [];
  if (edges.some((edge) => edge.node.id === entry.id)) return;
  const { run: _, cursor, ...told } = entry;
  const node = { __typename: "ProvisioningEvent", cursor, ...told };
  cache.writeFragment(RunTimelineFragmentDoc, {
    __typename: "ProvisioningRun",
    id,
    timeline: {
      __typename: "ProvisioningEventConnection",
      edges: [...edges, { __typename: "ProvisioningEventEdge", cursor, node }],
      pageInfo: kept?.timeline.pageInfo ?? { __typename: "PageInfo", hasPreviousPage: false },
    },
  } as never);
}
