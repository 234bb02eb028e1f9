/** What a dialog says when its action became unavailable while it was open, because of another user or of the run. */

import type { TenantAction } from "../../__generated__/graphql";
import type { Tenant } from "../tenant";

/** While the request is sent, its own effect may already be shown. */
export function isUnavailable(tenant: Tenant, action: TenantAction, sending: boolean): boolean {
  return !sending && !tenant.availableActions.includes(action);
}

export function Unavailable({ tenant }: { tenant: Tenant }) {
  return (
    <p className="notice warn" role="status">
      This is not possible any more: {tenant.name} is now {tenant.state}.
    </p>
  );
}
