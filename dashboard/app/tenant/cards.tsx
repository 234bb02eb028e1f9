/** The tenant's settings, as cards. */

import { Time } from "../ui/time";
import type { Tenant } from "./tenant";

export function Cards({ tenant }: { tenant: Tenant }) {
  const { region, plan, firstAdminEmail, provisioningDeadline, createdAt } = tenant;
  return (
    <dl className="cards">
      <div className="card">
        <dt>Region</dt>
        <dd>{region}</dd>
      </div>
      <div className="card">
        <dt>Plan</dt>
        <dd>{plan}</dd>
      </div>
      <div className="card">
        <dt>First administrator</dt>
        <dd>{firstAdminEmail ?? "not visible to you"}</dd>
      </div>
      <div className="card">
        <dt>Created</dt>
        <dd>
          <Time at={createdAt} />
        </dd>
      </div>
      {provisioningDeadline && (
        <div className="card">
          <dt>Provisioning deadline</dt>
          <dd>{provisioningDeadline}</dd>
        </div>
      )}
    </dl>
  );
}
