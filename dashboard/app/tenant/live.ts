/** The page follows its tenant: what the run does, and what people do to the tenant besides. */

import { useState } from "react";
import { useSubscription } from "urql";
import { TenantChangingDocument, TenantProvisioningDocument } from "../__generated__/graphql";

/** From the last entry that the page was given. Whatever is told goes into the cache, and from there to the page. */
export function useLive(tenantId: string, last: string | undefined): void {
  const [after] = useState(last);
  useSubscription({ query: TenantProvisioningDocument, variables: { tenantId, after: after ?? null } });
  useSubscription({ query: TenantChangingDocument, variables: { tenantId } });
}
