/** The page follows its tenant: what the run does, and what people do to the tenant besides. */

import { useState } from "react";
import { type CombinedError, useQuery, useSubscription } from "urql";
import { TenantChangingDocument, TenantProvisioningDocument, TenantStartDocument } from "../__generated__/graphql";
import { useMe } from "../me";

/** From the last entry that the page was given. Whatever is told goes into the cache, and from there to the page. */
export function useLive(tenantId: string, last: string | undefined): CombinedError | undefined {
  const [after] = useState(last);
  const [run] = useSubscription({ query: TenantProvisioningDocument, variables: { tenantId, after: after ?? null } });
  return useChanges(tenantId) ?? run.error;
}

/** For those who may read the feed. Others see a suspend, say, when they come again. */
function useChanges(tenantId: string): CombinedError | undefined {
  const mayRead = useMe().may("audit:read");
  const [{ data, error: unread }] = useQuery({
    query: TenantStartDocument,
    variables: { tenantId },
    requestPolicy: "network-only",
    pause: !mayRead,
  });
  const [{ error }] = useSubscription({
    query: TenantChangingDocument,
    variables: { tenantId, after: data?.auditEvents.pageInfo.startCursor ?? null },
    pause: !data,
  });
  return unread ?? error;
}
