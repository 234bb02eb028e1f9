/** Live updates of one tenant: the progress of its run, and the actions of other users. */

import { useState } from "react";
import { type CombinedError, useQuery, useSubscription } from "urql";
import { TenantChangedDocument, TenantCursorDocument, TenantProvisioningDocument } from "../__generated__/graphql";
import { useMe } from "../me";

/** Subscribe after the last entry that the page was loaded with. The results update the cache, and so the page. */
export function useLiveUpdates(tenantId: string, last: string | undefined): CombinedError | undefined {
  const [after] = useState(last);
  const [run] = useSubscription({ query: TenantProvisioningDocument, variables: { tenantId, after: after ?? null } });
  return useChanges(tenantId) ?? run.error;
}

/** Needs audit:read. Without it, a suspension, for example, is seen when the page is loaded again. */
function useChanges(tenantId: string): CombinedError | undefined {
  const mayRead = useMe().may("audit:read");
  const [{ data, error: queryError }] = useQuery({
    query: TenantCursorDocument,
    variables: { tenantId },
    requestPolicy: "network-only",
    pause: !mayRead,
  });
  const [{ error }] = useSubscription({
    query: TenantChangedDocument,
    variables: { tenantId, after: data?.auditEvents.pageInfo.startCursor ?? null },
    pause: !data,
  });
  return queryError ?? error;
}
