/** What was ordered. */

import { Time } from "../ui/time";
import type { Tenant } from "./page";

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
        <dd>{firstAdminEmail ?? "not for you to see"}</dd>
      </div>
      <div className="card">
        <dt>Created</dt>
        <dd>
          <Time at={createdAt} />
        </dd>
      </div>
      {provisioningDeadline && (
        <div className="card">
          <dt>Deadline of a run</dt>
          <dd>{provisioningDeadline}</dd>
        </div>
      )}
    </dl>
  );
}
